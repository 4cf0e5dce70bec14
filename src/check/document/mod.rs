//! The files of a repository as their authors wrote them: spanned trees, typed documents, places.

pub mod codes;
pub mod files;
mod json;
pub mod kinds;
mod load;
mod parse;
mod places;
mod secrets;
pub mod text;
mod tree;
mod unsupported;
mod validate;

pub use json::to_json;
pub use load::{Document, Loaded, load};
pub use parse::{parse_tree, start_of, too_large};
pub use places::{Places, escape, segments, value_at};
pub use secrets::{PLAIN_SUFFIX, SECRET_RULES};
pub use tree::{Kind, Meaning, Pair, Scalar, Span, Tree, Yaml};
pub use validate::{problems, suggest};

/// What a file of the repository defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocKind {
    /// `fleet.yaml`.
    Fleet,
    /// `nodes/*.yaml`.
    Node,
    /// `services/*.yaml` and `services/*/service.yaml`.
    Service,
    /// `gateways/*.yaml`.
    Gateway,
    /// `syncs/*.yaml`.
    Sync,
    /// `bundles/*.yaml`.
    Bundle,
}

impl DocKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Fleet, Self::Node, Self::Service, Self::Gateway, Self::Sync, Self::Bundle];

    /// The word for it, which names its schema.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Node => "node",
            Self::Service => "service",
            Self::Gateway => "gateway",
            Self::Sync => "sync",
            Self::Bundle => "bundle",
        }
    }

    /// The folder that holds its files; none for the fleet's one file.
    pub fn folder(self) -> Option<&'static str> {
        match self {
            Self::Fleet => None,
            Self::Node => Some("nodes"),
            Self::Service => Some("services"),
            Self::Gateway => Some("gateways"),
            Self::Sync => Some("syncs"),
            Self::Bundle => Some("bundles"),
        }
    }
}
