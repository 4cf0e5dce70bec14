//! `gateways/*.yaml` into gateways, with the routes of all services.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::Cx;
use super::index::Index;
use super::routes::{Routed, sites};
use super::services::Seed;
use crate::check::document::kinds::{
    BindDoc, GatewayDoc, GatewayRunDoc, ListenDoc, TlsDoc, TlsWord,
};
use crate::check::document::{DocKind, Document, codes};
use crate::model::{Gateway, GatewayRun, Instance, Listen, Name, Proxy, Tls};

impl Cx<'_> {
    /// All gateways by name.
    pub fn all_gateways(
        &mut self,
        index: &Index<'_>,
        instances: &[Instance],
        seeds: &[Seed],
    ) -> BTreeMap<Name, Gateway> {
        let routes = self.routes(seeds, instances);
        let documents = self.typed::<GatewayDoc>(DocKind::Gateway);
        let mut gateways = BTreeMap::new();
        for (document, doc) in documents {
            let on = index.gateways.get(&document.name).cloned().unwrap_or_default();
            gateways.insert(document.name.clone(), self.gateway(document, doc, on, &routes));
        }
        gateways
    }

    fn gateway(
        &mut self,
        document: &Document,
        doc: GatewayDoc,
        on: Vec<Name>,
        routes: &[Routed],
    ) -> Gateway {
        self.gateway_keys(document, &doc);
        let mine = |routed: &&Routed| {
            routed.gateway.as_ref().is_none_or(|gateway| *gateway == document.name)
        };
        let pairs =
            routes.iter().filter(mine).map(|routed| (routed.host.clone(), routed.route.clone()));
        let seconds = |time: Option<crate::check::document::text::Time>, usual: u64| {
            time.map_or(Duration::from_secs(usual), |time| time.0)
        };
        Gateway {
            name: document.name.clone(),
            proxy: Proxy::Caddy,
            run: run(&doc),
            listen: listen(doc.listen.unwrap_or_default()),
            health_interval: seconds(doc.health_interval, 10),
            health_timeout: seconds(doc.health_timeout, 5),
            health_passes: doc.health_passes.unwrap_or(1),
            tls: tls(doc.tls),
            sites: sites(pairs),
            mesh: self.fleet.mesh.clone(),
            image: doc.image.map(|image| image.0),
            adopt: doc.adopt.unwrap_or(false),
            source: document.file.clone(),
            on,
        }
    }

    /// Tells keys that belong to another way of running the proxy.
    fn gateway_keys(&mut self, document: &Document, doc: &GatewayDoc) {
        let run = doc.run.unwrap_or(GatewayRunDoc::Systemd);
        let commands = [
            ("start", doc.start.is_some()),
            ("stop", doc.stop.is_some()),
            ("reload", doc.reload.is_some()),
            ("validate", doc.validate.is_some()),
        ];
        let commands = commands.map(|(key, given)| (key, given, GatewayRunDoc::Command, "command"));
        let image = [("image", doc.image.is_some(), GatewayRunDoc::Compose, "compose")];
        for (key, _, _, word) in
            commands.into_iter().chain(image).filter(|(_, given, of, _)| *given && *of != run)
        {
            let place = self.places.key_place(&document.file, &format!("/{key}"));
            self.error(codes::CONFLICT, format!("`{key}` belongs to `run: {word}`"), place);
        }
    }
}

fn run(doc: &GatewayDoc) -> GatewayRun {
    let text = |command: &Option<crate::check::document::text::Shell>| {
        command.as_ref().map(|command| command.0.clone())
    };
    match doc.run {
        Some(GatewayRunDoc::Compose) => GatewayRun::Compose,
        Some(GatewayRunDoc::Command) => GatewayRun::Command {
            start: text(&doc.start),
            stop: text(&doc.stop),
            reload: text(&doc.reload),
            validate: text(&doc.validate),
        },
        Some(GatewayRunDoc::Systemd) | None => GatewayRun::Systemd,
    }
}

fn listen(doc: ListenDoc) -> Listen {
    Listen {
        http: doc.http.unwrap_or(80),
        https: doc.https.unwrap_or(443),
        bind: match doc.bind {
            Some(BindDoc::Addresses(addresses)) => addresses,
            _ => Vec::new(),
        },
        admin: doc.admin.map(|admin| admin.0),
    }
}

fn tls(doc: Option<TlsDoc>) -> Tls {
    match doc {
        None | Some(TlsDoc::Word(TlsWord::Off)) => Tls::Off,
        Some(TlsDoc::Word(TlsWord::Auto)) => Tls::Auto,
        Some(TlsDoc::Word(TlsWord::Internal)) => Tls::Internal,
        Some(TlsDoc::Files(files)) => Tls::Files { cert: files.cert.0, key: files.key.0 },
    }
}
