//! The command line: commands, flags, their help. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::apply::ApplyArgs;
use crate::dry_run::DryRunArgs;
use crate::export::ExportArgs;
use crate::import::ImportArgs;
use crate::settings::SettingsArgs;
use crate::test_mode::{TestModeArgs, TestProfilesArgs};

/// An open, self-hosted customer-journey engine.
#[derive(Debug, Parser)]
#[command(
    name = "sojourn",
    version,
    max_term_width = 110,
    after_help = "Examples:\n  \
        sojourn demo                                watch 23,570 customers walk through three journeys\n  \
        sojourn serve --data ./data                 run a server\n  \
        sojourn check examples/first                validate resources\n  \
        sojourn test examples/first                 run the tests of journeys\n  \
        sojourn apply examples/first                publish them\n  \
        sojourn report --json | jq .journeys        what happened\n\n\
        Exit codes: 0 ok, 1 findings or failure, 2 usage, 3 server unreachable, 4 refused by the server,\n\
        75 stopped after a failed sync (start it again)."
)]
pub struct Cli {
    /// Print exactly one JSON object, as the last line of stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server; the first line of stdout names its addresses
    Serve(SettingsArgs),
    /// Run the built-in demonstration: real purchases through three journeys, in seconds
    Demo(DemoArgs),
    /// Run recorded events through journeys on a virtual clock
    Replay(ReplayArgs),
    /// Run the engine on a simulated clock, disk and network, from seeds, and judge what it does
    #[cfg(feature = "sim")]
    Sim(SimArgs),
    /// Print the settings in force and where each came from
    Config(SettingsArgs),
    /// Validate resource files
    Check(FilesArgs),
    /// Make resource files of definitions of other engines, and report what does not map
    Import(ImportArgs),
    /// Run the tests of journeys (`kind: test`) on a virtual clock
    Test(TestArgs),
    /// Run a draft over what really happened, beside what the live version did; nothing is sent or published
    DryRun(DryRunArgs),
    /// Show what `apply` would change
    Plan(ServerFilesArgs),
    /// Publish resource files
    Apply(ApplyArgs),
    /// Test a draft with test profiles: real messages, short waits
    TestMode(TestModeArgs),
    /// Flag profiles that may walk in tests
    TestProfiles(TestProfilesArgs),
    /// List journeys and where they overlap, stop or close one
    Journeys(JourneysArgs),
    #[command(flatten)]
    Pauses(crate::pauses::PauseCommand),
    /// What happened: all journeys, or one of them in detail
    Report(ReportArgs),
    /// State and timeline of one profile
    Profile(ProfileArgs),
    /// Why a profile is, or is not, where it is in a journey
    Why(WhyArgs),
    /// Write what is recorded to a file: every step of every profile
    Export(ExportArgs),
    /// Messages on their way out; decide about those in doubt
    Deliveries(DeliveriesArgs),
    /// Show the datasets of a running server, or load records into one
    Datasets(DatasetsArgs),
    /// Show the shards of a running server, or change their number
    Shards(ShardsArgs),
    /// Move the time of a server that runs on the events' clock
    Clock(ClockArgs),
    /// Send events (NDJSON) to a server
    Send(SendArgs),
    /// Copy the data directory of a stopped server
    Backup(BackupArgs),
    /// Put a backup in place of a missing or empty data directory
    Restore(RestoreArgs),
    /// Make an API key, or the digest of one
    Keys(KeysArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
}

/// Which server, and the key it wants.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// The server's address
    #[arg(long, value_name = "URL", env = "SOJOURN_SERVER", default_value = "http://127.0.0.1:8080", global = true)]
    pub server: String,
    /// API key, if the server wants one; prefer the variable, flags are seen by other users of the machine
    #[arg(long, value_name = "KEY", env = "SOJOURN_API_KEY", hide_env_values = true, global = true)]
    pub api_key: Option<String>,
    /// Certificate authority (PEM) to trust besides the usual ones
    #[arg(long, value_name = "FILE", env = "SOJOURN_CA", global = true)]
    pub ca: Option<PathBuf>,
}

/// Resource files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn check journeys/\n  sojourn check --json shop.yaml crm.yaml")]
pub struct FilesArgs {
    /// Files or directories (recursive); references are resolved over everything given
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Tests of journeys.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn test journeys/ tests/\n  \
    sojourn test journeys/ tests/ --filter cart --junit results.xml\n\n\
    docs/journeys.md, \"Testing journeys\", shows how tests are written.")]
pub struct TestArgs {
    /// Files or directories (recursive); references are resolved over everything given
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run only tests with this text in their name or their journey's
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Write the results as JUnit XML too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// Resource files, and where they go.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sojourn plan journeys/\n  sojourn apply journeys/ --server https://sojourn.example.com"
)]
pub struct ServerFilesArgs {
    /// Files or directories (recursive); references are resolved over everything given
    #[arg(required = true, value_name = "DIR")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Journeys.
#[derive(Debug, Args)]
pub struct JourneysArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub action: Option<JourneysAction>,
}

/// What to do with journeys.
#[derive(Debug, Subcommand)]
pub enum JourneysAction {
    /// All journeys and their versions (what `journeys` alone does)
    List,
    /// Pairs of journeys that may reach the same profile at the same time, and which of them goes first
    Conflicts {
        /// One journey, live or a draft
        name: Option<String>,
    },
    /// Let nobody in any more and everybody out at once
    Stop(JourneyArgs),
    /// Let nobody in any more; those inside run to their end
    Close(JourneyArgs),
}

/// One journey.
#[derive(Debug, Args)]
pub struct JourneyArgs {
    /// The journey
    pub name: String,
    /// One version only
    #[arg(long)]
    pub version: Option<u32>,
}

/// Reports.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn report\n  sojourn report cart_abandonment\n  sojourn report --hash")]
pub struct ReportArgs {
    /// One journey, with its nodes, messages and versions
    pub journey: Option<String>,
    /// Print only the hash over all decisions
    #[arg(long, conflicts_with = "journey")]
    pub hash: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// One profile.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn profile crm:4711 --timeline 20\n  \
    sojourn profile crm:4711 --journey cart_abandonment --since 2026-11-01")]
pub struct ProfileArgs {
    /// The profile, `namespace:value`
    #[arg(value_name = "NS:ID")]
    pub profile: String,
    /// Items of the timeline, newest first, at most 1000
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub timeline: usize,
    /// Only what happened in this journey
    #[arg(long, value_name = "NAME")]
    pub journey: Option<String>,
    #[command(flatten)]
    pub span: SpanArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Which span of engine time.
#[derive(Debug, Args)]
pub struct SpanArgs {
    /// Only from this time on, e.g. 2026-11-01T12:00:00Z; a date alone means 00:00 UTC
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Why.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sojourn why crm:4711 --journey cart_abandonment")]
pub struct WhyArgs {
    /// The profile, `namespace:value`
    #[arg(value_name = "NS:ID")]
    pub profile: String,
    /// The journey
    #[arg(long, value_name = "NAME")]
    pub journey: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Deliveries.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn deliveries --in-doubt\n  sojourn deliveries resolve d-0001-…-0 sent")]
pub struct DeliveriesArgs {
    /// Only those with an unknown outcome
    #[arg(long)]
    pub in_doubt: bool,
    /// Rows to list
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub max: usize,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub action: Option<DeliveriesAction>,
}

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub enum DeliveriesAction {
    /// Decide about a delivery in doubt
    Resolve {
        /// Its id, `d-…`
        id: String,
        /// What is true, or what to do
        resolution: ResolutionArg,
    },
}

/// Decisions about a delivery in doubt.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ResolutionArg {
    /// It arrived: count it as sent
    Sent,
    /// Count it as failed, and don't send it again
    Drop,
    /// Send it again
    Resend,
}

/// Datasets.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn datasets\n  sojourn datasets load products products.csv")]
pub struct DatasetsArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub action: Option<DatasetsAction>,
}

/// What to do with datasets.
#[derive(Debug, Subcommand)]
pub enum DatasetsAction {
    /// Datasets and how much they hold (what `datasets` alone does)
    List,
    /// Load records in place of those a dataset has, all or none
    Load {
        /// The dataset, as published
        name: String,
        /// Records: a table with a heading (.csv), or a JSON object a line
        file: PathBuf,
    },
}

/// Shards.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn shards\n  sojourn shards set 4")]
pub struct ShardsArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub action: Option<ShardsAction>,
}

/// What to do with shards.
#[derive(Debug, Subcommand)]
pub enum ShardsAction {
    /// Shards and what they own (what `shards` alone does)
    Get,
    /// Move partitions, while running, so that N shards own them
    Set {
        /// How many shards
        #[arg(value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        count: u16,
    },
}

/// The events' clock.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn clock advance\n  sojourn clock advance --to 1998-07-01")]
pub struct ClockArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(subcommand)]
    pub action: ClockAction,
}

/// What to do with the events' clock.
#[derive(Debug, Subcommand)]
pub enum ClockAction {
    /// Move time on, through every timer that is due by then
    Advance {
        /// How far; without it, until no timer is left
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
    },
}

/// Sending events.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn send events.ndjson\n  \
    echo '{\"id\":\"e-1\",\"type\":\"purchase\",\"profile\":\"crm:1\"}' | sojourn send -")]
pub struct SendArgs {
    /// NDJSON file; `-` for stdin
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// Events per request
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub batch: u16,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Replaying.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sojourn replay --journeys journeys/ --events events.ndjson.gz\n  \
    sojourn replay --journeys examples/demo --events examples/data/cdnow.csv.gz \\\n    \
    --map \"id=row,type='purchase',profile='cdnow:'+customer_id,time=date,\\\n    \
    properties.amount=amount_usd,properties.quantity=quantity\"\n\n\
    docs/replay.md explains mappings, times and the hash.")]
pub struct ReplayArgs {
    /// Resource files or directories (recursive)
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    pub journeys: Vec<PathBuf>,
    /// NDJSON or CSV, plain, .gz or .zst; `-` for stdin
    #[arg(long, value_name = "FILE")]
    pub events: PathBuf,
    /// How columns of a CSV become events: id=…,type=…,profile=…,time=…,properties.x=…; constants quoted
    #[arg(long, value_name = "MAP")]
    pub map: Option<String>,
    /// Stop at this instant instead of when every instance has ended
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Shards; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub shards: Option<u16>,
    /// Sort events by time first (in memory); otherwise they are taken in order of input
    #[arg(long)]
    pub sort: bool,
    /// Leave out events that can't be read, and count them, instead of stopping at the first
    #[arg(long)]
    pub skip_bad: bool,
}

/// The demonstration.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Data directory to use and keep; refused if it holds anything but an earlier demo (default: a temporary one)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file; docs/reference.md lists all settings
    #[arg(long, value_name = "FILE", env = "SOJOURN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Shards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub shards: Option<u16>,
}

/// Backing up.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  systemctl stop sojourn && sojourn backup --data /var/lib/sojourn /backup/2026-01-31"
)]
pub struct BackupArgs {
    /// Data directory of a stopped server
    #[arg(long, value_name = "DIR", env = "SOJOURN_DATA", default_value = "./sojourn-data")]
    pub data: PathBuf,
    /// Where the copy goes; must not exist
    #[arg(value_name = "TO")]
    pub to: PathBuf,
}

/// Restoring.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sojourn restore --data /var/lib/sojourn /backup/2026-01-31")]
pub struct RestoreArgs {
    /// Data directory to fill; must be missing or empty
    #[arg(long, value_name = "DIR", env = "SOJOURN_DATA", default_value = "./sojourn-data")]
    pub data: PathBuf,
    /// The backup
    #[arg(value_name = "FROM")]
    pub from: PathBuf,
}

/// API keys.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    pub action: KeysAction,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// A new random key, and the line for `auth.keys`; the key is shown this once
    New {
        /// Who will hold it
        name: String,
    },
    /// The line for `auth.keys` of a key read from stdin
    Hash {
        /// Who holds it
        name: String,
    },
}

/// Completions.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sojourn completions bash > /etc/bash_completion.d/sojourn")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Flags of `sim`.
#[cfg(feature = "sim")]
#[derive(Debug, Args)]
pub struct SimArgs {
    /// How many seeds to run
    #[arg(long, default_value_t = 100)]
    pub seeds: u64,
    /// The seed to run, or the first of several
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print every step
    #[arg(long)]
    pub trace: bool,
    /// Plant known bugs, one after the other, and run each until it is found or the seeds are used up
    #[cfg(feature = "planted-bugs")]
    #[arg(long)]
    pub planted: bool,
    /// Plant this bug only
    #[cfg(feature = "planted-bugs")]
    #[arg(long, value_name = "BUG")]
    pub bug: Option<String>,
}
