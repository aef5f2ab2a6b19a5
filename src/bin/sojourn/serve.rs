//! `sojourn serve`.
use crate::failure::Failure;
use crate::settings::SettingsArgs;
pub fn run(args: SettingsArgs) -> Result<(), Failure> {
    let l = args.load()?;
    crate::logging::start(&l.config.log)?;
    Ok(())
}
