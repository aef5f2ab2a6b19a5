//! Settings as flags: made from the library's list, so that flag, variable, file and reference name the same ones.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, FromArgMatches};
use sojourn::config::{self, Loaded, Setting, Sources};

use crate::failure::Failure;
use crate::output::{Output, table};

/// Settings given as flags, and the configuration file.
#[derive(Clone, Debug, Default)]
pub struct SettingsArgs {
    file: Option<PathBuf>,
    flags: Vec<(String, String)>,
}

impl clap::Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .env("SOJOURN_CONFIG")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Configuration file (.toml, .yaml or .json); docs/reference.md lists all settings");
        config::descriptions().fold(command.arg(file), |command, d| {
            let default = if d.default.is_empty() { "none" } else { d.default };
            let heading = d.key.split_once('.').map_or("Settings", |_| "Settings by layer");
            let mut arg = Arg::new(d.key);
            if d.expects == <bool as Setting>::EXPECTS {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            // What a listener listens on is what people mean by its name: `--http`, `--tcp`.
            if let Some(listener) = d.key.strip_suffix(".listen") {
                arg = arg.visible_alias(listener);
            }
            command.arg(
                arg.long(d.flag())
                    .value_name("VALUE")
                    .help_heading(heading)
                    .help(format!("{} [default: {default}] [env: {}]", d.doc.trim(), d.variable()))
                    .long_help(format!(
                        "{}\n[takes: {}]\n[default: {default}]\n[env: {}]",
                        d.doc.trim(),
                        d.expects.replace('`', ""),
                        d.variable()
                    )),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &str| matches.get_one::<String>(key).cloned();
        Ok(Self {
            file: matches.get_one::<PathBuf>("config").cloned(),
            flags: config::descriptions().filter_map(|d| Some((d.key.to_owned(), given(d.key)?))).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl SettingsArgs {
    /// Joins flags, environment, file and defaults.
    pub fn load(self) -> Result<Loaded, Failure> {
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let sources = Sources { file: self.file, environment: environment.collect(), flags: self.flags };
        config::load(&sources).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// `sojourn config`: the settings in force and where each came from.
pub fn print(args: SettingsArgs, output: &Output) -> Result<(), Failure> {
    let loaded = args.load()?;
    for warning in &loaded.warnings {
        eprintln!("sojourn: {warning}");
    }
    let settings: serde_json::Map<String, serde_json::Value> = loaded
        .values
        .iter()
        .map(|(d, text, origin)| (d.key.to_owned(), serde_json::json!({"value": text, "origin": origin.to_string()})))
        .collect();
    output.result(&settings, |_| {
        let mut rows = table(&["setting", "value", "from"]);
        for (d, text, origin) in &loaded.values {
            rows.add_row([d.key, text, &origin.to_string()]);
        }
        rows.to_string()
    });
    Ok(())
}
