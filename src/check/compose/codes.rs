//! Codes of problems with compose files that people bring; each has one meaning for good.

use crate::diagnostic::Code;

/// A brought compose file is not shaped as the Compose specification says.
pub const NOT_COMPOSE: Code = Code("GS0401");
/// A compose file reads something outside its own folder.
pub const OUTSIDE: Code = Code("GS0402");
/// A compose file uses a variable that has no value where compose runs.
pub const NO_VALUE: Code = Code("GS0403");
/// A compose file reads a file that the repository does not have.
pub const FILE_MISSING: Code = Code("GS0404");
/// A published port of a compose file that compose would not take.
pub const BAD_PORT: Code = Code("GS0405");
/// A mount of a compose file that compose would not take.
pub const BAD_MOUNT: Code = Code("GS0406");
/// A service extends one that is not there, or itself in a circle.
pub const BAD_EXTENDS: Code = Code("GS0407");
