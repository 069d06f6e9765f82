//! The plot of `cargo xtask bench growth`: three panels side by side, both axes logarithmic.
//!
//! Its colours are of middle lightness and nothing lies behind them, so that it reads on white and dark.

use super::measured::{Measured, Took};
use crate::Failure;
use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::{Shift, combinators::IntoLogRange},
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement},
    prelude::SVGBackend,
    series::{DashedLineSeries, LineSeries},
    style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle},
};
use std::{collections::BTreeMap, ops::Range};

const SIZE: (u32, u32) = (1_080, 360);
const GREY: RGBColor = RGBColor(128, 128, 128);
const COLOURS: [RGBColor; 4] =
    [RGBColor(56, 132, 222), RGBColor(217, 120, 32), RGBColor(52, 156, 76), RGBColor(164, 98, 214)];

/// The groups of the panel of rows.
const GROUPS: u64 = 1_000_000;
/// The threads of the panels of groups.
const THREADS: u32 = 2;

/// One panel: lines by what they are called, in order.
struct Panel {
    title: &'static str,
    x: &'static str,
    y: &'static str,
    lines: Vec<(String, Vec<(f64, f64)>)>,
    /// Whether a line shows what twice the x for twice the y would be.
    has_linear: bool,
}

/// The plot as SVG.
pub(super) fn svg(measured: &[Measured]) -> Result<String, Failure> {
    let mut svg = String::new();
    let drawn = draw(&mut svg, &panels(measured));
    drawn.map_err(|error| format!("could not draw the plot: {error}"))?;
    Ok(svg)
}

fn panels(measured: &[Measured]) -> [Panel; 3] {
    let of_rows =
        |measured: &Measured| (measured.groups == GROUPS).then(|| counted(measured.threads.into(), "thread"));
    let of_groups = |measured: &Measured| {
        (measured.threads == THREADS).then(|| format!("{} M rows", measured.rows / 1_000_000))
    };
    [
        Panel {
            title: "10⁶ groups: time",
            x: "million rows",
            y: "seconds",
            lines: lines(measured, of_rows, |measured| number(measured.rows) / 1e6, |took| took.wall_s),
            has_linear: true,
        },
        Panel {
            title: "2 threads: time",
            x: "groups",
            y: "seconds",
            lines: lines(measured, of_groups, |measured| number(measured.groups), |took| took.wall_s),
            has_linear: false,
        },
        Panel {
            title: "2 threads: peak memory",
            x: "groups",
            y: "GB",
            lines: lines(
                measured,
                of_groups,
                |measured| number(measured.groups),
                |took| crate::bench::gigabytes(took.memory_bytes),
            ),
            has_linear: false,
        },
    ]
}

/// The points that have a line's name, line by line, in the order of what was measured.
fn lines(
    measured: &[Measured],
    name: impl Fn(&Measured) -> Option<String>,
    x: impl Fn(&Measured) -> f64,
    y: impl Fn(&Took) -> f64,
) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut names = Vec::new();
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for measured in measured {
        if let (Some(name), Some(took)) = (name(measured), measured.took()) {
            if !names.contains(&name) {
                names.push(name.clone());
            }
            lines.entry(name).or_default().push((x(measured), y(took)));
        }
    }
    let line = |name: String| lines.remove(&name).map(|points| (name, points));
    names.into_iter().filter_map(line).collect()
}

fn draw(svg: &mut String, panels: &[Panel; 3]) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    for (panel, area) in panels.iter().zip(root.split_evenly((1, panels.len()))) {
        draw_panel(&area, panel)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    panel: &Panel,
) -> Result<(), Box<dyn std::error::Error>> {
    let text = |size: i32| TextStyle::from(("sans-serif", size).into_font()).color(&GREY);
    let points = || panel.lines.iter().flat_map(|(_, points)| points);
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, text(16))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(
            around(points().map(|point| point.0), 1.4).log_scale(),
            // Room for the names of the lines.
            around(points().map(|point| point.1), 3.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .axis_style(GREY)
        .bold_line_style(GREY.mix(0.3))
        .light_line_style(GREY.mix(0.0))
        .label_style(text(12))
        .axis_desc_style(text(13))
        .x_desc(panel.x)
        .y_desc(panel.y)
        .x_label_formatter(&|value| tick(*value))
        .y_label_formatter(&|value| tick(*value))
        .draw()?;
    for ((name, points), colour) in panel.lines.iter().zip(COLOURS.into_iter().cycle()) {
        let line = ShapeStyle::from(colour).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), line))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], line));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    if let Some(linear) =
        panel.lines.first().filter(|_| panel.has_linear).and_then(|(_, points)| linear(points))
    {
        let line = ShapeStyle::from(GREY).stroke_width(1);
        chart
            .draw_series(DashedLineSeries::new(linear, 4, 4, line))?
            .label("linear")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], line));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).label_font(text(12)).draw()?;
    Ok(())
}

/// A range around all values, by that factor on both sides.
fn around(values: impl Iterator<Item = f64>, factor: f64) -> Range<f64> {
    let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
        Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    });
    let (low, high) = ends.unwrap_or((1.0, 10.0));
    low / factor..high * factor
}

/// From the first point to below or above the last, growing as the x does.
fn linear(points: &[(f64, f64)]) -> Option<[(f64, f64); 2]> {
    let ((first, last), y) = ((points.first()?.0, points.last()?.0), points.first()?.1);
    Some([(first, y), (last, y * last / first)])
}

/// A value at an axis: whole powers of ten from a thousand on, and plain numbers below, of which those that
/// begin with 1, 2 or 5 have room.
fn tick(value: f64) -> String {
    if value < 1_000.0 {
        let text = format!("{value}");
        let first = text.trim_start_matches(['0', '.']).chars().next();
        return if matches!(first, Some('1' | '2' | '5')) { text } else { String::new() };
    }
    let power = value.log10().round();
    let digits = format!("{power:.0}");
    let raised: String =
        digits.chars().filter_map(|digit| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit.to_digit(10)? as usize)).collect();
    format!("10{raised}")
}

fn counted(number: u64, what: &str) -> String {
    if number == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}

#[expect(clippy::cast_precision_loss, reason = "a plot shows three digits of it")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::growth::{measured::tests::took, points::Point};

    fn measured() -> Vec<Measured> {
        let mut measured = Vec::new();
        for rows in [10_000_000, 40_000_000, 160_000_000] {
            for groups in [1_000, 1_000_000, 10_000_000] {
                for threads in [1, 2] {
                    measured.push(took(rows, groups, threads, number(rows) / 2e7 / f64::from(threads)));
                }
            }
        }
        let point = Point { rows: 640_000_000, groups: 1_000_000, threads: 2 };
        measured.push(Measured::failed(&point, 1, "failed".to_owned()));
        measured
    }

    #[test]
    fn panels_have_a_line_for_each_thread_and_each_size() {
        let [rows, time, memory] = panels(&measured());
        let names = |panel: &Panel| panel.lines.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&rows), ["1 thread", "2 threads"]);
        assert_eq!(rows.lines[1].1, [(10.0, 0.25), (40.0, 1.0), (160.0, 4.0)]);
        assert_eq!(names(&time), ["10 M rows", "40 M rows", "160 M rows"]);
        assert_eq!(names(&memory), names(&time));
        assert_eq!(memory.lines[0].1[0], (1_000.0, 0.100_04));
    }

    #[test]
    fn the_plot_is_small_and_names_its_axes_with_units() {
        let svg = svg(&measured()).unwrap();
        assert!(svg.len() < 60_000, "{} bytes", svg.len());
        for text in ["seconds", "million rows", "groups", "GB", "linear"] {
            assert!(svg.contains(text), "{text} is not in the plot");
        }
        assert!(!svg.contains("#000000") && !svg.contains("#FFFFFF"), "it has colours of one background");
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.1, 1.0, 100.0, 1e3, 1e8].map(tick), ["0.1", "1", "100", "10³", "10⁸"]);
        assert_eq!([0.05, 0.7, 20.0, 90.0].map(tick), ["0.05", "", "20", ""]);
    }

    #[test]
    fn a_range_holds_its_values_with_room() {
        assert_eq!(around([4.0, 2.0].into_iter(), 2.0), 1.0..8.0);
        assert_eq!(around(std::iter::empty(), 2.0), 0.5..20.0);
        assert_eq!(linear(&[(10.0, 1.0), (40.0, 3.0)]), Some([(10.0, 1.0), (40.0, 4.0)]));
    }
}
