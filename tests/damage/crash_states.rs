//! Every moment at which the machine can stop, and what the disk may then hold: recovery finds everything that was
//! acknowledged, nothing twice, and one state that there was.
//!
//! `cargo test` takes a sample; all of it:
//! `SOJOURN_CRASH_STATES=all cargo test --release --test damage crash_states -- --nocapture`.

use sojourn::store::memory::MemoryDisk;

use crate::dice::Dice;
use crate::world::{Opened, Recording, Stopped, World, Written, nothing};

const SEED: u64 = 1;
const STEPS: u64 = 120;
/// Boundaries between operations that the workload has at least.
const BOUNDARIES_MIN: u64 = 500;

struct Extent {
    every: usize,
    variants: u64,
}

fn extent() -> Extent {
    match std::env::var("SOJOURN_CRASH_STATES").as_deref() {
        Ok("all") => Extent { every: 1, variants: 32 },
        _ => Extent { every: 25, variants: 4 },
    }
}

/// Runs the workload until it is through or the machine stops.
fn run(world: &mut World) -> Result<(), Stopped> {
    world.begin()?;
    for step in 0..STEPS {
        world.step()?;
        if step % 6 == 5 {
            world.checkpoint()?;
        }
        if step % 37 == 36 {
            world.restart()?;
        }
    }
    Ok(())
}

/// The number of the group up to which `disk` holds everything, and the disk as a start left it.
fn recovered(disk: &MemoryDisk, recorded: &[Written], place: &str) -> (usize, Opened) {
    let mut opened = Opened::of(disk).unwrap_or_else(|error| panic!("{place}: {error}"));
    let found = opened.prints();
    let group = recorded.iter().position(|group| group.state == found);
    if group.is_none() {
        assert_eq!(found, nothing(), "{place}: there was no such state");
    }
    (group.map_or(0, |group| group + 1), opened)
}

struct Cut<'a> {
    place: String,
    world: &'a World,
    recorded: &'a [Written],
}

impl Cut<'_> {
    /// What is on `disk` must be all that was acknowledged, and at most what was handed over besides.
    fn check(&self, disk: &MemoryDisk) -> usize {
        let (acknowledged, handed) = (self.world.acknowledged, self.world.groups.len());
        let (groups, mut opened) = recovered(disk, self.recorded, &self.place);
        assert!(
            (acknowledged..=handed).contains(&groups),
            "{}: the state is that after group {groups}, {acknowledged} were acknowledged, {handed} handed over",
            self.place
        );
        if groups == handed {
            self.world.knows_last_events(&mut opened);
        }
        groups
    }

    /// One power cut; now and then a second one while recovery runs, which must not take what a start has shown.
    fn check_variant(&self, variant: u64, dice: &mut Dice) -> u64 {
        let disk = self.world.disk.crash(variant);
        if dice.below(4) != 0 {
            self.check(&disk);
            return 1;
        }
        disk.stop_after(dice.below(12));
        let shown = Opened::of(&disk).is_ok();
        let again = if dice.below(2) == 0 { disk.crash_keep_all() } else { disk.crash(variant + 1) };
        let groups = self.check(&again);
        if shown {
            assert_eq!(self.check(&disk.crash(variant + 2)), groups, "{}: what a start showed stays", self.place);
        }
        let third = again.crash(variant + 3);
        assert_eq!(self.check(&third), groups, "{}: what a start showed stays", self.place);
        2
    }
}

#[test]
fn every_crash_state_recovers_to_a_state_that_there_was() {
    let Extent { every, variants } = extent();
    let disk = MemoryDisk::tracked();
    let mut whole = World::new(disk.clone(), SEED, Recording::On);
    run(&mut whole).expect("nothing stops it");
    let (boundaries, recorded) = (disk.operations(), whole.groups);
    assert!(boundaries >= BOUNDARIES_MIN, "only {boundaries} boundaries");
    let (mut states, mut cuts) = (0u64, 0u64);
    for boundary in (0..boundaries).step_by(every) {
        let disk = MemoryDisk::tracked();
        disk.stop_after(boundary);
        let mut world = World::new(disk, SEED, Recording::Off);
        assert!(run(&mut world).is_err(), "boundary {boundary} of {boundaries} stops it");
        let mut dice = Dice(boundary);
        for variant in 0..variants {
            let place = format!("seed {SEED}, boundary {boundary}, variant {variant}");
            let cut = Cut { place, world: &world, recorded: &recorded };
            cuts += cut.check_variant(boundary << 16 | variant << 3, &mut dice);
            states += 1;
        }
        if boundary % 50 == 0 {
            println!("boundary {boundary} of {boundaries}: {states} states");
        }
    }
    println!(
        "{boundaries} boundaries, every {every}: {states} crash states, {cuts} power cuts, {} groups",
        recorded.len()
    );
}
