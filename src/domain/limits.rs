//! Every bound of the engine, each with its reason. Contract figures are marked (contract).

use crate::domain::ids::Millis;

/// Depth of nested values in events and documents; deeper input could exhaust a decoder's stack (contract).
pub const DEPTH_MAX: usize = 100;
/// Bytes of one event (contract).
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// Events in one batch (contract).
pub const BATCH_EVENTS_MAX: usize = 10_000;
/// Bytes of one batch, decompressed (contract).
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// Bytes of an identity's value (contract).
pub const IDENTITY_BYTES_MAX: usize = 256;
/// Bytes of a type, namespace or property name (contract).
pub const NAME_BYTES_MAX: usize = 128;
/// Names in one map of properties or of a document: look-ups and merges are linear, so more would let one event hold up a shard.
pub const MAP_KEYS_MAX: usize = 1_024;
/// Earliest `event.time`, 1900-01-01: earlier ones come from clocks that were never set.
pub const EVENT_TIME_MIN: Millis = Millis(-2_208_988_800_000);
/// Latest `event.time`, 2200-01-01: later ones are microseconds taken for milliseconds.
pub const EVENT_TIME_MAX: Millis = Millis(7_258_118_400_000);
/// Bytes of an event's id: room for two UUIDs and a prefix.
pub const EVENT_ID_BYTES_MAX: usize = 128;
/// Nodes of a journey, `end` nodes not counted (contract, AJO).
pub const NODES_MAX: usize = 50;
/// Branches of one condition: each is evaluated in turn, on the shard's thread.
pub const BRANCHES_MAX: usize = 100;
/// Fields that one node sets in the profile's document (spec §3.6).
pub const UPDATE_FIELDS_MAX: usize = 5;
/// Exit criteria of one journey: each is evaluated on every event of its type.
pub const EXITS_MAX: usize = 50;
/// Visits of one node by one instance (contract).
pub const NODE_VISITS_MAX: u16 = 1_000;
/// Steps that one input may cause for one instance (contract): what goes round through waits that have passed would
/// never stop by itself. The longest way without a cycle, 50 messages and an end, takes 153.
pub const STEPS_PER_INPUT_MAX: usize = 200;
/// Longest wait and event timeout: 90 days (spec §3.4).
pub const WAIT_MS_MAX: i64 = 90 * 86_400_000;
/// Longest life of an instance: 91 days (spec §2.4).
pub const TIMEOUT_MS_MAX: i64 = 91 * 86_400_000;
/// Shortest re-entrance period: 5 minutes (spec §2.2).
pub const REENTRY_MS_MIN: i64 = 5 * 60_000;
/// Longest re-entrance period: 90 days (spec §2.2).
pub const REENTRY_MS_MAX: i64 = 90 * 86_400_000;
/// State of one instance: kept fields of its events (spec §2.8).
pub const INSTANCE_BYTES_MAX: usize = 1 << 20;
/// Instances that one profile may hold at once: as many as AJO allows live journeys.
pub const INSTANCES_PER_PROFILE_MAX: usize = 200;
/// Longest pause of a journey: 14 days, 20,160 minutes (spec §4.4).
pub const PAUSE_MS_MAX: i64 = 20_160 * 60_000;
/// Pauses of a journey that are remembered, for those who were inside and have not been looked at since.
pub const PAUSES_KEPT_MAX: usize = 100;
/// Profiles let go in a second when a journey is resumed, unless told otherwise (spec §4.4).
pub const RELEASE_RATE: u32 = 5_000;
/// Events kept for one profile that a pause holds: as many as AJO stacks for a busy instance (spec §1.2).
pub const HELD_EVENTS_MAX: usize = 10;
/// Profiles that pauses hold at actions, over all journeys (spec §4.4).
pub const HELD_PROFILES_MAX: usize = 10_000_000;
/// Entrants that wait for the end of a pause, over all journeys: each holds its whole event.
pub const HELD_ENTRANTS_MAX: usize = 1_000_000;
/// Nodes of one fragment, ends not counted (spec §3.8b).
pub const FRAGMENT_NODES_MAX: usize = 20;
/// Instances of one journey under different supplemental ids that one profile may hold at once (spec §1.7).
pub const SUPPLEMENTAL_INSTANCES_MAX: usize = 10;
/// Supplemental ids that one event may name for a journey: ten runs are allowed at once, and each id that is refused is a
/// discard in the record.
pub const SUPPLEMENTAL_IDS_PER_EVENT_MAX: usize = 100;
/// Supplemental ids per journey whose entries a profile remembers while re-entrance hangs on them: the oldest goes first. A
/// profile's header is written whole, so that this bounds it.
pub const SUPPLEMENTAL_IDS_KEPT_MAX: usize = 1_000;
/// Bytes of one profile document: a profile is read whole when its actor wakes.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// A record above this is split with a commit part, so that no reader needs a larger buffer (design §4.2).
pub const RECORD_BYTES_MAX: usize = 512 << 10;
/// Bytes of a rendered message.
pub const RENDERED_BYTES_MAX: usize = 2 << 20;
/// Fuel of one template: about 2 ms on one core.
pub const TEMPLATE_FUEL: u64 = 200_000;
/// Bytes of a template's source.
pub const TEMPLATE_BYTES_MAX: usize = 512 << 10;
/// Tokens of one tag of a template: its parser builds trees as deep as a tag is long, and recursion follows them.
pub const TEMPLATE_TAG_TOKENS_MAX: usize = 400;
/// `elif` of one template: each nests one deeper.
pub const TEMPLATE_ELIFS_MAX: usize = 100;
/// How many inputs' worth of text one value in a template may hold: `a ~ a` holds two.
pub const TEMPLATE_GROWTH_MAX: u32 = 64;
/// Depth of blocks while a template renders.
pub const TEMPLATE_DEPTH_MAX: usize = 100;
/// Bytes of an expression's source.
pub const EXPRESSION_BYTES_MAX: usize = 8 << 10;
/// Depth of brackets, and count of `?:`, in an expression: its parser recurses by them.
pub const EXPRESSION_BRACKETS_MAX: u16 = 24;
/// Operators, dots and brackets of an expression: each can deepen the tree by one before its depth is known.
pub const EXPRESSION_MARKS_MAX: usize = 1_000;
/// Depth of an expression's tree: the compiler and the closures it makes recurse by it.
pub const EXPRESSION_DEPTH_MAX: usize = 100;
/// Nodes of an expression's tree, macros expanded.
pub const EXPRESSION_NODES_MAX: usize = 4_000;
/// Steps of one run of an expression: items of its loops, and text it scans or copies (64 bytes a step). About 10 ms.
pub const EXPRESSION_STEPS_MAX: u64 = 1 << 20;
/// Cost of an expression at worst, in nodes evaluated, for it to be published: about 100 µs.
pub const EXPRESSION_COST_MAX: u64 = 10_000;
/// Items that a list is assumed to have when the cost of an expression is computed: as many as a long cart holds. One loop
/// inside another passes with it, a third does not.
pub const EXPRESSION_LIST_ITEMS_ASSUMED: u64 = 20;
/// Questions about fields that are asked to find out whether the conditions of one node can be true: about 10 ms.
pub const REASONING_STEPS_MAX: u64 = 200_000;
/// Treatments of an experiment (spec §9).
pub const TREATMENTS_RANGE: (usize, usize) = (2, 10);
/// Weight of a treatment at most: shares are of 10,000.
pub const TREATMENT_WEIGHT_MAX: u32 = 10_000;
/// Hundredths of a percent that a holdout takes where it names none (spec §9).
pub const HOLDOUT_SHARE_DEFAULT: u32 = 1_000;
/// Places of a profile cap where none are named (spec §3.3).
pub const PROFILE_CAP_DEFAULT: u64 = 1_000;
/// Places of a cap that does not count (spec §8: tests ignore caps).
pub const UNCAPPED: u64 = u64::MAX;
/// Places of a profile cap at most: more than any directory has profiles.
pub const PROFILE_CAP_MAX: u64 = 1_000_000_000_000;
/// On the events' clock messages between partitions come so much later than they were sent, in milliseconds.
pub const TICK_MS: i64 = 1;
/// Bytes of one resource file.
pub const RESOURCE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a test's name: a sentence.
pub const TRIAL_NAME_BYTES_MAX: usize = 256;
/// Events, and profiles, of one test: recordings are for `replay`.
pub const TRIAL_EVENTS_MAX: usize = 10_000;
/// Blocks of a shard with the journal writer at once (design §4).
pub const BLOCKS_IN_FLIGHT_MAX: usize = 4;
/// Bytes of one shard's block before it is sealed: keeps a sync near a millisecond on the disks measured.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;
/// Deliveries a surface holds (queued, waiting for a retry, in flight): half a second at 30,000 a second; beyond
/// it instances park at their message node.
pub const SURFACE_QUEUE_MAX: usize = 16_384;
/// Lines the log channel holds: a job is about 100 bytes beside the row it shares with the outbox.
pub const LOG_QUEUE_MAX: usize = 65_536;
/// Bytes of lines the log channel renders before it writes and syncs them.
pub const LOG_BATCH_BYTES_MAX: usize = 4 << 20;
/// Bytes of a provider's HTTP answer that are read (and thrown away) so that its connection can be used again.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Shortest and longest time of one call of a custom action, its retries included (spec §3.7).
pub const CALL_TIMEOUT_RANGE_MS: (i64, i64) = (1_000, 30_000);
/// Retries of one call, after the first request (spec §3.7).
pub const CALL_RETRIES_MAX: u32 = 3;
/// Bytes of an answer to a call that are read; a longer one is an error.
pub const CALL_ANSWER_BYTES_MAX: usize = 256 << 10;
/// Calls of one action at once, however many `outbox.in_flight_max` allows: AJO's `maxHttpConnections` (spec §14).
pub const CALLS_IN_FLIGHT_MAX: usize = 400;
/// Calls of one host in a minute, over all its actions (spec §3.7).
pub const CALLS_PER_HOST_MAX: u32 = 300_000;
/// Calls of one slow action in half a minute (spec §3.7).
pub const CALLS_PER_SLOW_ACTION_MAX: u32 = 150_000;
/// Requests to one data source within [`SOURCE_PERIOD_MS`], unless it says otherwise (spec §5.9).
pub const SOURCE_CALLS_MAX: u32 = 15;
/// Period of that.
pub const SOURCE_PERIOD_MS: i64 = 1_000;
/// Answers of one data source that may serve again; the oldest goes first.
pub const CACHED_ANSWERS_MAX: usize = 10_000;
/// Bytes of an answer and its request that are kept for that: larger ones are asked for each time. 80 MB a source at most.
pub const CACHED_ANSWER_BYTES_MAX: usize = 8_192;
/// Records of one dataset.
pub const DATASET_RECORDS_MAX: usize = 50_000;
/// Bytes of the records of all datasets: they are part of the catalog, which every change writes whole.
pub const DATASETS_BYTES_MAX: usize = 8 << 20;
/// Nodes of one journey that look up in datasets (spec §3.8b).
pub const LOOKUPS_MAX: usize = 10;
/// Fields that one of them takes (spec §3.8b).
pub const LOOKUP_FIELDS_MAX: usize = 20;
/// Keys that one of them asks for (spec §3.8b).
pub const LOOKUP_KEYS_MAX: usize = 500;
/// Bytes that one of them finds (spec §3.8b).
pub const LOOKUP_BYTES_MAX: usize = 10_240;
/// Calls of one action that its channel holds: as many as `outbox.rows_max` lets wait unless it is set higher, so that the order
/// in which they wait is kept. One is about 250 bytes beside the row it shares with the outbox.
pub const CALL_QUEUE_MAX: usize = 131_072;
/// How long a call waits for its turn under a throttling, from its decision (spec §3.7).
pub const THROTTLED_MS_MAX: i64 = 6 * 3_600_000;
/// Bytes of one TCP frame: a full batch and room for its own heads.
pub const FRAME_BYTES_MAX: usize = BATCH_BYTES_MAX + (64 << 10);
/// Bytes of a first frame: it comes before the key is checked, so a stranger may claim no more.
pub const HELLO_BYTES_MAX: usize = 16 << 10;
/// Bytes of a producer's name.
pub const PRODUCER_BYTES_MAX: usize = 128;
/// Events of one stream that are accepted and not yet acknowledged: at 100,000 events/s two thirds of a second.
pub const STREAM_EVENTS_IN_FLIGHT_MAX: u64 = 65_536;
/// Bytes of one stream that are accepted and not yet acknowledged: two full batches.
pub const STREAM_BYTES_IN_FLIGHT_MAX: usize = 2 * FRAME_BYTES_MAX;
/// The same over all streams, so that many slow ones can't take the memory.
pub const STREAMS_BYTES_IN_FLIGHT_MAX: usize = 512 << 20;
/// Streams at once: each has two tasks and its buffers.
pub const STREAMS_MAX: usize = 1_024;
/// Test profiles at most, and so instances of one test (spec §4.7).
pub const TEST_PROFILES_MAX: usize = 100;
/// How long every wait of a test takes unless it says otherwise (spec §4.7).
pub const TEST_WAIT_MS: i64 = 10_000;
/// The shortest such wait: below it nobody could watch.
pub const TEST_WAIT_MS_MIN: i64 = 1_000;
/// The longest: nobody sits before a test for longer.
pub const TEST_WAIT_MS_MAX: i64 = 3_600_000;
/// How long a test waits for feedback at least (spec §4.7).
pub const TEST_REACTION_MS: i64 = 40_000;
/// A test that nobody has used for so long ends: a week (spec §4.7).
pub const TEST_IDLE_MS: i64 = 7 * 86_400_000;
/// Bytes of the declared fields of an answer that are recorded with its call, as JSON: what `response` names is small, and
/// history keeps one for every call.
pub const ANSWER_NOTE_BYTES_MAX: usize = 4_096;
/// How far from a call in a dry run a profile's own recorded answer counts as that to it: a week, as long as a draft is apart
/// from the live version by a wait or two.
pub const OWN_ANSWER_MS_MAX: i64 = 7 * 86_400_000;
/// Producers whose last sequence is remembered at the door after they left; older ones are forgotten (a look-up only: partitions
/// tell repeats).
pub const PRODUCERS_REMEMBERED_MAX: usize = 65_536;
/// Producers one partition remembers: four times the streams at once. Events of more are deferred, so that made-up names
/// can't take the memory: at 72 bytes each and 1,024 partitions they hold 300 MB at most.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 4_096;
/// How long a partition remembers a producer at least after its last event there, 3 days of engine time: what a producer
/// could not send before a weekend is recognised after it.
pub const PRODUCER_WINDOW_MS: i64 = 3 * 86_400_000;
/// Submissions of one stream that wait for their commit: keeps the list of a stream of tiny batches short.
pub const STREAM_SUBMISSIONS_IN_FLIGHT_MAX: usize = 4_096;
/// Refused events named in one ack: keeps an ack far below a frame.
pub const REJECTIONS_PER_ACK_MAX: usize = 4_096;
/// Bytes of the message about one refused event: it may quote the event.
pub const REJECTION_MESSAGE_BYTES_MAX: usize = 320;
