//! `sojourn serve`.
use crate::failure::Failure;
use crate::settings::SettingsArgs;
pub fn run(args: SettingsArgs) -> Result<(), Failure> {
    let _ = args.load()?;
    Ok(())
}
