//! What is read from a disk. Checksums are made right here, so that bytes get past them to what they guard.

use std::sync::{Arc, OnceLock};

use sojourn::domain::catalog::Catalog;
use sojourn::domain::ids::{CatalogVersion, Millis, OwnershipEpoch, PartitionId, ProfileKey, Pseq, ShardId};
use sojourn::report::archive::{Archive, ArchiveConfig, Told};
use sojourn::runtime::opener::TailIndex;
use sojourn::runtime::partition::Partition;
use sojourn::runtime::partition::table::Table;
use sojourn::store::directory::{DataDirectory, DirectoryOptions};
use sojourn::store::disk::{Disk, read_all};
use sojourn::store::journal::{Block, Journal, JournalConfig, MARKS_FILE};
use sojourn::store::memory::MemoryDisk;
use sojourn::store::snapshot_store::SnapshotStore;
use sojourn::wire::component::{self, blank_profile};
use sojourn::wire::cursor::Cursor;
use sojourn::wire::outbox::{put_change, read_change};
use sojourn::wire::record::{
    Draft, EventView, Head, ProfileRecord, RecordKind, happened_in, put_profile_record, records, spans,
};
use sojourn::wire::value::{map_from, put_value, read_value};

const ID: u128 = 7;
const SEGMENT: &str = "journal/lane-00/000001.seg";
const PAGE: usize = 4096;

fn journal_config() -> JournalConfig {
    JournalConfig { segment_bytes: 64 << 10, ..JournalConfig::default() }
}

/// A disk with a journal of four groups, and its first segment.
fn journal() -> &'static (MemoryDisk, Vec<u8>) {
    static JOURNAL: OnceLock<(MemoryDisk, Vec<u8>)> = OnceLock::new();
    JOURNAL.get_or_init(|| {
        let disk = MemoryDisk::tracked();
        let (journal, _) = Journal::open(Arc::new(disk.clone()), ID, journal_config(), spans).expect("opens");
        let mut lane = journal.take_lane(0).expect("first take");
        for number in 0..4 {
            lane.write_group(&[Block::new(ShardId(0), number, 0, vec![number as u8; 600], vec![])]).expect("writes");
        }
        let segment = read_all(&disk, SEGMENT).expect("reads");
        (disk, segment)
    })
}

/// A copy of `disk` with other bytes in one file.
fn with_file(disk: &MemoryDisk, path: &str, bytes: &[u8]) -> Arc<dyn Disk> {
    let disk = disk.crash_keep_all();
    disk.create(path).and_then(|mut file| file.write_at(bytes, 0)).expect("writes");
    Arc::new(disk)
}

fn open_journal(bytes: &[u8]) {
    let Ok((_, tail)) = Journal::open(with_file(&journal().0, SEGMENT, bytes), ID, journal_config(), spans) else {
        return;
    };
    let _ = TailIndex::build(&tail, |_| {});
}

#[test]
fn journal_groups() {
    bolero::check!().for_each(|input: &[u8]| {
        let Some((which, fields)) = input.split_first() else { return };
        let mut bytes = journal().1.clone();
        let group = &mut bytes[(2 + usize::from(*which) % 4) * PAGE..];
        // Behind magic, checksum and journal id.
        let length = fields.len().min(PAGE - 24);
        group[24..24 + length].copy_from_slice(&fields[..length]);
        let count = u32::from_le_bytes(group[60..64].try_into().expect("four")) as usize;
        if let Some(covered) = count.checked_mul(24).and_then(|table| group.get(8..80 + table)) {
            let checksum = crc32fast::hash(covered);
            group[4..8].copy_from_slice(&checksum.to_le_bytes());
        }
        open_journal(&bytes);
    });
}

#[test]
fn segment_headers() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut bytes = journal().1.clone();
        let length = input.len().min(80 - 24);
        bytes[24..24 + length].copy_from_slice(&input[..length]);
        let checksum = crc32fast::hash(&bytes[..80]);
        bytes[80..84].copy_from_slice(&checksum.to_le_bytes());
        bytes.copy_within(..PAGE, PAGE);
        open_journal(&bytes);
    });
}

#[test]
fn segments() {
    bolero::check!().for_each(|input: &[u8]| open_journal(input));
}

#[test]
fn marks() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut pages = vec![0; 2 * PAGE];
        for (page, fields) in pages.chunks_mut(PAGE).zip(input.chunks(44)) {
            page[..4].copy_from_slice(b"SJDM");
            page[4..4 + fields.len()].copy_from_slice(fields);
            let checksum = crc32fast::hash(&page[..48]);
            page[48..52].copy_from_slice(&checksum.to_le_bytes());
        }
        let disk = with_file(&journal().0, MARKS_FILE, &pages);
        let Ok((journal, _)) = Journal::open(Arc::clone(&disk), ID, journal_config(), spans) else { return };
        // Whatever was read, what is written next counts.
        drop(journal);
        Journal::open(disk, ID, journal_config(), spans).expect("opens again");
    });
}

/// A disk with one snapshot of partition 0.
fn snapshot() -> &'static MemoryDisk {
    static SNAPSHOT: OnceLock<MemoryDisk> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let disk = MemoryDisk::tracked();
        let store = SnapshotStore::open(Arc::new(disk.clone())).expect("opens");
        let mut writer = store.begin(PartitionId(0), Pseq(1), &[]).expect("begins");
        writer.page(0, b"page").and_then(|()| writer.parts(b"parts")).expect("writes");
        store.publish(vec![writer.finish(Millis::NEVER).expect("finishes")]).expect("publishes");
        disk
    })
}

fn load(disk: Arc<dyn Disk>) {
    let Ok(store) = SnapshotStore::open(disk) else { return };
    for (partition, _) in store.all_latest() {
        let _ = (store.kind_due(partition), store.recyclable_until(partition), store.load(partition));
    }
}

#[test]
fn snapshot_files() {
    bolero::check!().for_each(|input: &[u8]| load(with_file(snapshot(), "snapshots/p0000/1.snap", input)));
}

#[test]
fn snapshot_sections() {
    bolero::check!().with_type::<Vec<(u8, u32, Vec<u8>)>>().for_each(|sections| {
        let path = "snapshots/p0000/1.snap";
        let mut bytes = read_all(snapshot(), path).expect("reads");
        bytes.truncate(40 + 4);
        for (kind, number, body) in sections {
            let mut head = vec![*kind % 4, 0, 0, 0];
            head.extend_from_slice(&number.to_le_bytes());
            head.extend_from_slice(&(body.len() as u32).to_le_bytes());
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&head);
            checksum.update(body);
            bytes.extend_from_slice(&head);
            bytes.extend_from_slice(&checksum.finalize().to_le_bytes());
            bytes.extend_from_slice(body);
        }
        load(with_file(snapshot(), path, &bytes));
    });
}

#[test]
fn manifests() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut bytes = b"SJMF\x01\0\0\0".to_vec();
        bytes.extend_from_slice(input);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        load(with_file(snapshot(), "snapshots/manifest-0", &bytes));
    });
}

#[test]
fn directory_headers() {
    bolero::check!().for_each(|input: &[u8]| {
        let mut bytes = b"sojourn data directory\nformat 1\n".to_vec();
        bytes.extend_from_slice(input);
        bytes.push(b'\n');
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(format!("checksum {checksum:08x}\n").as_bytes());
        let disk = with_file(&MemoryDisk::tracked(), "SOJOURN", &bytes);
        if let Ok(directory) = DataDirectory::on_disk(disk, DirectoryOptions::default()) {
            assert!(directory.header().partition_count > 0 && directory.header().lanes > 0);
        }
    });
}

#[test]
fn journal_records() {
    bolero::check!().for_each(|block: &[u8]| {
        let _ = spans(block);
        let mut partition = Partition::new(PartitionId(0));
        for record in records(block) {
            let Ok((range, record)) = record else { return };
            assert_eq!(records(&block[range]).count(), 1, "a record reads alone as it does in its block");
            if ProfileRecord::read(&record.payload).is_ok() {
                happened_in(&record.payload).expect("what is read whole can be looked through");
            }
            partition.pseq = Pseq(record.head.pseq.0.saturating_sub(1));
            let _ = partition.install(&record, &Catalog::default());
        }
    });
}

#[test]
fn profile_records() {
    bolero::check!().for_each(|payload: &[u8]| {
        let Ok(record) = ProfileRecord::read(payload) else { return };
        happened_in(payload).expect("what is read whole can be looked through");
        let _ = component::install(&mut blank_profile(ProfileKey(1)), record.components);
    });
}

#[test]
fn components() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut once = blank_profile(ProfileKey(1));
        if component::install(&mut once, bytes).is_err() {
            return;
        }
        let written = |profile| {
            let mut out = Vec::new();
            component::put_profile(&mut out, profile);
            out
        };
        let mut again = blank_profile(ProfileKey(1));
        component::install(&mut again, &written(&once)).expect("what was written can be read");
        assert_eq!(written(&again), written(&once));
    });
}

#[test]
fn outbox_changes() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut cursor = Cursor::new(bytes);
        let Ok(change) = read_change(&mut cursor) else { return };
        let (mut once, mut again) = (Vec::new(), Vec::new());
        put_change(&mut once, &change);
        put_change(&mut again, &read_change(&mut Cursor::new(&once)).expect("what was written can be read"));
        assert_eq!(once, again);
    });
}

#[test]
fn partition_parts() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for format in [1, 2] {
            let parts = [&[format], bytes].concat();
            let catalog = Catalog::default();
            let pages = std::iter::empty;
            let Ok(partition) = Partition::from_snapshot(PartitionId(0), &parts, pages(), &catalog) else { continue };
            let (mut once, mut again) = (Vec::new(), Vec::new());
            partition.put_parts(&mut once);
            let read = Partition::from_snapshot(PartitionId(0), &once, pages(), &catalog);
            read.expect("what was written can be read").put_parts(&mut again);
            assert_eq!(once, again);
        }
    });
}

#[test]
fn pages() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut table = Table::default();
        if table.install_page(0, bytes, |_| Ok(())).is_ok() {
            table.profiles().for_each(|profile| drop(profile.expect("what was installed can be woken")));
        }
    });
}

/// A file of the archive with some entries.
fn archive_file() -> &'static (String, Vec<u8>) {
    static FILE: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    FILE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let archive = Archive::open(ArchiveConfig::new(directory.path().to_owned())).expect("opens");
        let mut block = Vec::new();
        for pseq in 1..=20 {
            let head = Head {
                kind: RecordKind::Profile,
                partition: PartitionId(pseq as u16 % 2),
                pseq: Pseq(pseq),
                engine_time: Millis(pseq as i64),
                catalog: CatalogVersion(0),
                epoch: OwnershipEpoch(0),
                key: ProfileKey(u128::from(pseq % 3)),
            };
            let event = EventView { id: "e", kind: "go", time: None, properties: &[0x80] };
            let (steps, notes, outbox, components) = (&[], &[], &[], &[]);
            let draft = Draft { head, mark: None, event: Some(event), steps, notes, outbox, components };
            put_profile_record(&mut block, &draft);
        }
        let read: Vec<_> = records(&block).map(|record| record.expect("reads").1).collect();
        let told: Vec<_> = read.iter().map(|record| Told::by(record).expect("converts")).collect();
        archive.append(&told).and_then(|()| archive.flush()).expect("writes");
        let path =
            std::fs::read_dir(directory.path()).expect("lists").next().expect("a file").expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read(path).expect("reads"))
    })
}

#[test]
fn archive_files() {
    const TRAILER: usize = 64;
    const PLACE: usize = 72;
    let directory = tempfile::tempdir().expect("a directory");
    bolero::check!().with_iterations(150).for_each(|input: &[u8]| {
        let Some((which, fields)) = input.split_first() else { return };
        let (name, sound) = archive_file();
        let mut bytes = sound.clone();
        let trailer = bytes.len() - TRAILER;
        let directory_at = u64::from_le_bytes(bytes[trailer..trailer + 8].try_into().expect("eight")) as usize;
        // Some fields of a place or of the trailer, behind a right checksum; or any bytes of the chunks.
        let (at, length, checksum) = match which % 4 {
            0 => (trailer, TRAILER - 12, true),
            1 => (directory_at, PLACE - 4, true),
            2 => (directory_at + PLACE, PLACE - 4, true),
            _ => (8, directory_at - 8, false),
        };
        let from = usize::from(*which) / 4 % length;
        let count = fields.len().min(length - from);
        bytes[at + from..at + from + count].copy_from_slice(&fields[..count]);
        if checksum {
            let checksum = crc32fast::hash(&bytes[at..at + length]);
            bytes[at + length..at + length + 4].copy_from_slice(&checksum.to_le_bytes());
        }
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("writes");
        let archive =
            Archive::open(ArchiveConfig::new(directory.path().to_owned())).expect("damage costs history only");
        let shown = archive.timeline(PartitionId(1), ProfileKey(1), usize::MAX, None);
        assert!(shown.len() <= 20);
        archive.export(Millis::MIN..Millis::NEVER, None, |_| std::ops::ControlFlow::Continue(()));
    });
}

#[test]
fn values() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let _ = map_from(bytes);
        let Ok(value) = read_value(&mut Cursor::new(bytes), 0) else { return };
        let (mut once, mut again) = (Vec::new(), Vec::new());
        put_value(&mut once, &value);
        put_value(&mut again, &read_value(&mut Cursor::new(&once), 0).expect("what was written can be read"));
        assert_eq!(once, again);
    });
}

#[test]
fn catalogs() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Ok(catalog) = Catalog::from_record(bytes) {
            Catalog::from_record(&catalog.to_record()).expect("what was written can be read");
        }
    });
}
