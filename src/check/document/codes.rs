//! Codes of problems with files, YAML, values and references; each has one meaning for good.

use crate::diagnostic::Code;

/// A file is not UTF-8 text.
pub const NOT_UTF8: Code = Code("GS0001");
/// A file is larger than 1 MiB.
pub const TOO_LARGE: Code = Code("GS0002");
/// A symbolic link leads out of the repository, nowhere, or in a circle.
pub const LINK: Code = Code("GS0003");
/// A submodule lies where the fleet needs files.
pub const SUBMODULE: Code = Code("GS0004");
/// A file is not YAML.
pub const SYNTAX: Code = Code("GS0005");
/// A file nests too deep, has too many values, or its aliases unfold to too much.
pub const BUDGET: Code = Code("GS0006");
/// A key is written twice in one mapping.
pub const DUPLICATE_KEY: Code = Code("GS0007");
/// A file holds more than one YAML document.
pub const SEVERAL_DOCUMENTS: Code = Code("GS0008");
/// A file lies where it would never be read.
pub const MISPLACED: Code = Code("GS0009");
/// There is no `fleet.yaml`, or nothing at all.
pub const NO_FLEET: Code = Code("GS0010");
/// Two files define the same thing.
pub const DEFINED_TWICE: Code = Code("GS0011");
/// Something in `secrets/` that is not encrypted.
pub const PLAIN_SECRET: Code = Code("GS0012");
/// An encrypted file without an age recipient.
pub const NO_AGE_RECIPIENT: Code = Code("GS0013");

/// A key that does not exist here.
pub const UNKNOWN_KEY: Code = Code("GS0101");
/// A value of another type than is wanted.
pub const WRONG_TYPE: Code = Code("GS0102");
/// A word that is not one of those allowed.
pub const NOT_ALLOWED: Code = Code("GS0103");
/// A number or a length out of its range.
pub const OUT_OF_RANGE: Code = Code("GS0104");
/// A key that must be there is missing.
pub const MISSING_KEY: Code = Code("GS0105");
/// A name that is not a DNS label.
pub const BAD_NAME: Code = Code("GS0106");
/// A text that is not a duration.
pub const BAD_DURATION: Code = Code("GS0107");
/// A text that is not a file mode.
pub const BAD_MODE: Code = Code("GS0108");
/// A text that is not an address.
pub const BAD_ADDRESS: Code = Code("GS0109");
/// A text that is not a host name.
pub const BAD_HOST: Code = Code("GS0110");
/// A path that is relative, not normalised, or leads out of where it must stay.
pub const BAD_PATH: Code = Code("GS0111");
/// A text that does not look as it must.
pub const BAD_TEXT: Code = Code("GS0112");
/// Keys that exclude each other, or a key that has no meaning beside the others.
pub const CONFLICT: Code = Code("GS0113");
/// A text that is not a port.
pub const BAD_PORT: Code = Code("GS0114");

/// A node that does not exist.
pub const UNKNOWN_NODE: Code = Code("GS0201");
/// A service that does not exist.
pub const UNKNOWN_SERVICE: Code = Code("GS0202");
/// A port that the service does not have.
pub const UNKNOWN_PORT: Code = Code("GS0203");
/// A dependency that does not exist.
pub const UNKNOWN_DEPENDENCY: Code = Code("GS0204");
/// An environment that `fleet.yaml` does not declare.
pub const UNKNOWN_ENVIRONMENT: Code = Code("GS0205");
/// A selector that selects no node.
pub const SELECTS_NOTHING: Code = Code("GS0206");
/// A node that is listed twice, as primary and fallback or among equals.
pub const LISTED_TWICE: Code = Code("GS0207");
/// A file or folder that the repository does not have.
pub const MISSING_FILE: Code = Code("GS0208");
/// A gateway that does not exist.
pub const UNKNOWN_GATEWAY: Code = Code("GS0209");
/// A route or check whose port can't be reached where it is asked.
pub const UNREACHABLE_PORT: Code = Code("GS0210");
/// A host label without a domain that would complete it.
pub const NO_DOMAIN: Code = Code("GS0211");
/// A secret that the repository does not have.
pub const UNKNOWN_SECRET: Code = Code("GS0212");

/// Something that the formats promise and this version does not do yet.
pub const NOT_SUPPORTED: Code = Code("GS0501");
