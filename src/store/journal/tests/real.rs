//! The journal on a real disk.

use super::*;
use crate::store::disk::OsDisk;

#[test]
fn a_journal_on_the_real_disk_reads_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(directory.path()));
    let mut end = 0;
    for _ in 0..3 {
        let (journal, tail) = Journal::open(Arc::clone(&disk), ID, config(), spans_of).expect("opens");
        assert_eq!(numbers(&tail).expect("reads"), range(0, end));
        write(&mut journal.take_lane(0).expect("first take"), end, end + 30);
        end += 30;
    }
}
