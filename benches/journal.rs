//! What a group costs on this machine's disk: one write and one sync, for groups of 4 KiB to 1 MiB. A real disk and real
//! syncs: figures of two machines have little in common. Throughput counts bytes of records.
//!
//! The files lie in the directory that `CARGO_TARGET_TMPDIR` names, or beside the build's.

use std::path::PathBuf;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sojourn::domain::ids::{PartitionId, Pseq, ShardId};
use sojourn::store::disk::OsDisk;
use sojourn::store::journal::{Block, Journal, JournalConfig};

/// Bytes of a block: a shard seals about this much where events come steadily.
const BLOCK_BYTES: usize = 4 << 10;
const ONLY: PartitionId = PartitionId(0);

/// Nothing is replayed here.
fn no_spans(_: &[u8]) -> Vec<(PartitionId, Pseq)> {
    Vec::new()
}

fn groups(criterion: &mut Criterion) {
    let place = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::Builder::new().prefix("journal-bench-").tempdir_in(place).expect("a directory");
    let disk = Arc::new(OsDisk::new(directory.path()));
    let (journal, _) = Journal::open(disk, 1, JournalConfig::default(), no_spans).expect("opens");
    let mut lane = journal.take_lane(0).expect("the first take");
    let (mut number, mut pseq) = (0, 0);
    let mut group = criterion.benchmark_group("journal group");
    group.sample_size(10);
    for blocks in [1_usize, 4, 16, 64, 256] {
        group.throughput(Throughput::Bytes((blocks * BLOCK_BYTES) as u64));
        group.bench_with_input(BenchmarkId::from_parameter(format!("{} KiB", blocks * 4)), &blocks, |b, blocks| {
            b.iter(|| {
                let block = |_| {
                    number += 1;
                    pseq += 1;
                    Block::new(ShardId(0), number, 0, vec![0x5a; BLOCK_BYTES], vec![(ONLY, Pseq(pseq))])
                };
                let blocks: Vec<Block> = (0..*blocks).map(block).collect();
                let position = lane.write_group(&blocks).expect("the disk takes it");
                // All but the newest is needed no more, so segments are used again.
                journal.passed(ONLY, Pseq(pseq - 1));
                position
            });
        });
    }
    group.finish();
    assert!(journal.tail_bytes() > 0, "something was written");
    lane.finish().expect("an end mark");
}

criterion_group!(benches, groups);
criterion_main!(benches);
