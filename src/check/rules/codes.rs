//! Codes of what is wrong or doubtful with a fleet as a whole; each has one meaning for good.

use crate::diagnostic::Code;

/// Two units of a machine listen on one port.
pub const PORT_TAKEN: Code = Code("GS0301");
/// Two units of a machine have one directory.
pub const SAME_DIRECTORY: Code = Code("GS0302");
/// Two units of a machine have one compose project.
pub const SAME_PROJECT: Code = Code("GS0303");
/// Two units of a machine have one container name.
pub const SAME_CONTAINER: Code = Code("GS0304");
/// Two units of a machine own one volume.
pub const SAME_VOLUME: Code = Code("GS0305");
/// Two routes of a gateway have one host and path.
pub const SAME_ROUTE: Code = Code("GS0306");
/// A gateway routes to an instance that it can't reach from one of its nodes.
pub const ROUTE_TO_LOOPBACK: Code = Code("GS0307");
/// Units depend on each other in a circle.
pub const CYCLE: Code = Code("GS0308");
/// A file would land where no unit may write.
pub const OUT_OF_BOUNDS: Code = Code("GS0309");
/// A managed file lies where something else writes.
pub const UNDER_WRITABLE: Code = Code("GS0310");
/// Two units of a machine own one file.
pub const FILE_OWNED_TWICE: Code = Code("GS0311");
/// A unit that is needed depends on units that may sleep.
pub const DEPENDS_ON_OPTIONAL: Code = Code("GS0312");
/// A probe takes longer between two signs of life than a node's lease bears.
pub const PROBE_OUTLIVES_LEASE: Code = Code("GS0313");
/// A header that the proxy sets itself.
pub const FRAMING_HEADER: Code = Code("GS0314");
/// Syncs with overlapping folders send files in a circle.
pub const SYNC_LOOP: Code = Code("GS0315");

/// Nothing asks whether a service works.
pub const NO_HEALTH_CHECK: Code = Code("GS0901");
/// An image without a version.
pub const NO_VERSION: Code = Code("GS0902");
/// A primary and its fallback have data of their own that nothing keeps in step.
pub const PAIR_WITHOUT_SYNC: Code = Code("GS0903");
/// A sync in both directions.
pub const TWO_WAY_SYNC: Code = Code("GS0904");
/// A port is published on every address.
pub const PORT_ON_ALL: Code = Code("GS0905");
/// A gateway routes to a single instance.
pub const ONE_UPSTREAM: Code = Code("GS0906");
/// A service says that its data is carried by a sync, and there is none.
pub const MOVES_WITHOUT_SYNC: Code = Code("GS0907");
/// A secret that stands in the repository as it is.
pub const PLAIN_SECRET: Code = Code("GS0908");
