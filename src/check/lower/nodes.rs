//! `nodes/*.yaml` into machines and how they are reached.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::context::Cx;
use crate::check::document::kinds::{NodeDoc, SshDoc};
use crate::check::document::text::PathText;
use crate::check::document::{DocKind, Document, codes, escape};
use crate::model::{AbsPath, Boot, Name, Node, NodePaths, Reach, Ssh};

impl Cx<'_> {
    /// All valid nodes.
    pub fn all_nodes(&mut self) -> BTreeMap<Name, Node> {
        let documents = self.typed::<NodeDoc>(DocKind::Node);
        let nodes = documents.into_iter().filter_map(|(document, doc)| self.node(document, doc));
        nodes.map(|node| (node.name.clone(), node)).collect()
    }

    fn node(&mut self, document: &Document, doc: NodeDoc) -> Option<Node> {
        let file = document.file.as_str();
        self.label_keys(file, "/labels", doc.labels.iter().flat_map(BTreeMap::keys));
        let address = self.node_address(file, &doc)?;
        if doc.local.is_some() && doc.ssh.is_some() {
            let place = self.places.key_place(file, "/ssh");
            self.error(codes::CONFLICT, "a `local` node is not reached by `ssh`", place);
        }
        let base = doc.local.as_ref().map(|local| local.0.clone());
        let root = self.node_path(file, doc.root, base.as_ref(), "gitsync", "/var/lib/gitsync")?;
        self.own_root(file, &root);
        let paths = doc.paths.unwrap_or_default();
        let paths = NodePaths {
            services: self.node_path(
                file,
                paths.services,
                base.as_ref(),
                "stacks",
                "/opt/stacks",
            )?,
            gateways: self.node_path(file, paths.gateways, base.as_ref(), "etc", "/etc")?,
            syncs: self.node_path(file, paths.syncs, base.as_ref(), "etc", "/etc")?,
        };
        let boot = doc.boot.map(|boot| boot.0);
        Some(Node {
            name: document.name.clone(),
            address,
            boot: self.boot(file, boot.as_deref(), base.is_some())?,
            reach: match base {
                Some(directory) => Reach::Local(directory),
                None => Reach::Ssh(ssh(doc.ssh.unwrap_or_default(), address)),
            },
            labels: doc.labels.into_iter().flatten().map(|(key, value)| (key, value.0)).collect(),
            arch: doc.arch,
            root,
            paths,
            optional: doc.optional.unwrap_or(false),
        })
    }

    fn node_address(&mut self, file: &str, doc: &NodeDoc) -> Option<IpAddr> {
        let local = doc.local.as_ref().map(|_| IpAddr::V4(Ipv4Addr::LOCALHOST));
        let address = doc.address.or(local);
        if address.is_none() {
            let place = self.places.place(file, "");
            let message = "`address` is missing: a node is reached at an address, or is `local`";
            self.error(codes::MISSING_KEY, message, place);
        }
        if address.is_some_and(|address| address.is_unspecified() || address.is_multicast()) {
            let place = self.places.place(file, "/address");
            self.error(codes::BAD_ADDRESS, "this is not the address of one machine", place);
        }
        address
    }

    /// gitsync's directory becomes its own and closed to others: not `/` or one that the system has.
    fn own_root(&mut self, file: &str, root: &AbsPath) {
        let kernel = ["dev", "proc", "run", "sys"];
        let mut parts = root.as_str().split('/').skip(1);
        let system = parts.next().is_some_and(|first| kernel.contains(&first));
        if system || parts.next().is_none() {
            let place = self.places.place(file, "/root");
            let message = format!("`{root}` can't be a directory of gitsync's own");
            let hint = "name one that nothing else uses, as in `/var/lib/gitsync`";
            self.error_hint(codes::BAD_PATH, message, place, Some(hint.to_owned()));
        }
    }

    /// A path as written, or its default: below the directory of a local node, or the usual one.
    fn node_path(
        &mut self,
        file: &str,
        written: Option<PathText>,
        base: Option<&AbsPath>,
        below: &str,
        usual: &str,
    ) -> Option<AbsPath> {
        let default = || base.map_or_else(|| AbsPath::new(usual), |base| base.join(below));
        match written.map_or_else(default, |path| Ok(path.0)) {
            Ok(path) => Some(path),
            Err(error) => {
                self.error(codes::BAD_PATH, error.to_string(), self.places.place(file, "/local"));
                None
            }
        }
    }

    fn boot(&mut self, file: &str, text: Option<&str>, local: bool) -> Option<Boot> {
        let path = text.and_then(|text| text.strip_prefix("file:"));
        Some(match text {
            None if local => Boot::None,
            None | Some("systemd") => Boot::Systemd,
            Some("openrc") => Boot::Openrc,
            Some("cron") => Boot::Cron,
            Some("none") => Boot::None,
            Some(_) => match AbsPath::new(path.unwrap_or_default()) {
                Ok(path) => Boot::File(path),
                Err(error) => {
                    self.error(
                        codes::BAD_PATH,
                        error.to_string(),
                        self.places.place(file, "/boot"),
                    );
                    return None;
                }
            },
        })
    }

    /// Tells keys of labels that nothing could be written for.
    pub fn label_keys<'k>(
        &mut self,
        file: &str,
        pointer: &str,
        keys: impl Iterator<Item = &'k String>,
    ) {
        let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '=' | '"' | '\'');
        for key in keys.filter(|key| key.is_empty() || key.len() > 255 || key.contains(bad)) {
            let place = self.places.key_place(file, &format!("{pointer}/{}", escape(key)));
            let message = format!("`{}` can't be a label's name", key.escape_debug());
            self.error(codes::BAD_TEXT, message, place);
        }
    }
}

fn ssh(doc: SshDoc, address: IpAddr) -> Ssh {
    Ssh {
        host: doc.host.map_or_else(|| address.to_string(), |host| host.0),
        user: doc.user.map(|user| user.0),
        port: doc.port,
        host_key: doc.host_key.map(|key| key.0),
        jump: doc.jump.map(|jump| jump.0),
        identity: doc.identity.map(|identity| identity.0),
        sudo: doc.sudo.unwrap_or(false),
    }
}
