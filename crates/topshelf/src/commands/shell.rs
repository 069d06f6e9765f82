//! `completions` and `man`: the command line, as shells and `man` read it; both are made from `cli` alone.

use super::output::Output;
use crate::{
    cli::{Cli, Completions, Man},
    failure::Failure,
};
use clap::CommandFactory;
use std::fs;

/// Prints a shell's completion script.
pub(super) fn completions(flags: &Completions, output: Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), "topshelf", &mut script);
    output.text(&String::from_utf8_lossy(&script))
}

/// Prints the manual page of the whole, or writes those of all commands into a folder.
pub(super) fn man(flags: &Man, output: Output) -> Result<(), Failure> {
    let command = Cli::command().disable_help_subcommand(true);
    let Some(folder) = &flags.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Failure::of)?;
        return output.text(&String::from_utf8_lossy(&page));
    };
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.map_err(|error| {
        Failure::of(error).within(format!("could not write manual pages into {}", folder.display()))
    })
}
