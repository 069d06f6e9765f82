//! Thrift's compact protocol, as far as page headers and footers need it.

use super::Broken;

/// Why bytes could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// What they say goes on behind them.
    TooShort,
    Broken(Broken),
}

/// What a field of a structure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool(bool),
    Byte,
    Integer,
    Double,
    Binary,
    List,
    Map,
    Structure,
}

/// Structures and lists within others at most: a footer has some ten.
const DEPTH_MAX: usize = 16;

/// Bytes on their way.
pub(super) struct Compact<'b> {
    rest: &'b [u8],
}

/// Goes on.
pub(super) type Step = Result<(), Problem>;

impl<'b> Compact<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Reads a structure; `field` takes the value of each of its fields.
    pub(super) fn structure(
        &mut self,
        depth: usize,
        field: &mut dyn FnMut(&mut Self, i16, Kind) -> Step,
    ) -> Step {
        if depth > DEPTH_MAX {
            return Err(broken("structures lie too deep within others"));
        }
        let mut number = 0_i16;
        loop {
            let byte = self.byte()?;
            let Some(kind) = kind(byte & 0x0F)? else { return Ok(()) };
            number = match byte >> 4 {
                0 => i16::try_from(self.integer()?).map_err(|_| broken("a field's number is too large"))?,
                delta => number.wrapping_add(i16::from(delta)),
            };
            field(self, number, kind)?;
        }
    }

    pub(super) fn skip(&mut self, of: Kind, depth: usize) -> Step {
        match of {
            Kind::Bool(_) => Ok(()),
            Kind::Byte => self.take(1),
            Kind::Integer => self.integer().map(drop),
            Kind::Double => self.take(8),
            Kind::Binary => {
                let length = self.varint()?;
                self.take(usize::try_from(length).unwrap_or(usize::MAX))
            }
            Kind::Structure => self.structure(depth, &mut |reader, _, kind| reader.skip(kind, depth + 1)),
            Kind::List => self.list(depth, &mut |reader, kind| reader.skip(kind, depth + 1)).map(drop),
            Kind::Map => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                let (key, value) = (element(kinds >> 4)?, element(kinds & 0x0F)?);
                for _ in 0..self.elements(count)? {
                    self.skip(key, depth + 1)?;
                    self.skip(value, depth + 1)?;
                }
                Ok(())
            }
        }
    }

    /// Reads a list; `take` takes each of its elements. How many there are.
    pub(super) fn list(
        &mut self,
        depth: usize,
        take: &mut dyn FnMut(&mut Self, Kind) -> Step,
    ) -> Result<usize, Problem> {
        if depth > DEPTH_MAX {
            return Err(broken("structures lie too deep within others"));
        }
        let byte = self.byte()?;
        let kind = element(byte & 0x0F)?;
        let count = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        let count = self.elements(count)?;
        for _ in 0..count {
            take(self, kind)?;
        }
        Ok(count)
    }

    /// How many elements there are, each of which has a byte at least.
    fn elements(&self, claimed: u64) -> Result<usize, Problem> {
        usize::try_from(claimed).ok().filter(|count| *count <= self.rest.len()).ok_or(Problem::TooShort)
    }

    #[expect(clippy::cast_possible_wrap, reason = "half of an unsigned number fits")]
    pub(super) fn integer(&mut self) -> Result<i64, Problem> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(broken("a number has too many bytes"))
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        let (byte, rest) = self.rest.split_first().ok_or(Problem::TooShort)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn take(&mut self, length: usize) -> Step {
        self.rest = self.rest.get(length..).ok_or(Problem::TooShort)?;
        Ok(())
    }
}

/// None at the end of a structure.
fn kind(code: u8) -> Result<Option<Kind>, Problem> {
    Ok(Some(match code {
        0 => return Ok(None),
        1 | 2 => Kind::Bool(code == 1),
        3 => Kind::Byte,
        4..=6 => Kind::Integer,
        7 => Kind::Double,
        8 => Kind::Binary,
        9 | 10 => Kind::List,
        11 => Kind::Map,
        12 => Kind::Structure,
        _ => return Err(broken("a field is of no kind that there is")),
    }))
}

/// What a list or a map holds; a truth value has a byte of its own there.
fn element(code: u8) -> Result<Kind, Problem> {
    match kind(code)? {
        Some(Kind::Bool(_)) => Ok(Kind::Byte),
        Some(kind) => Ok(kind),
        None => Err(broken("a list of no kind that there is")),
    }
}

fn broken(reason: &str) -> Problem {
    Problem::Broken(Broken(reason.to_owned()))
}
