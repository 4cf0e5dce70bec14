//! The secrets of a rollout: opened before anything begins, kept in memory only.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use crate::model::{Content, Observed, Plan, Release, Sealed, SecretRef, Unit, UnitId};
use crate::secrets::Opener;
use crate::transport::Opened;

use super::redact::Redactor;

/// Plain values of an encrypted file by their key paths.
pub type Values = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Opens encrypted files of the repository.
pub trait Vault: Send + Sync {
    /// All values of the file at `path` in the repository; the error says why it can't be opened and what to do.
    fn open(&self, path: &str, text: &[u8]) -> Result<Values, String>;
}

impl Vault for Opener {
    fn open(&self, path: &str, text: &[u8]) -> Result<Values, String> {
        let opened = Self::open(self, path, text).map_err(|error| error.to_string())?;
        let values = opened.iter();
        Ok(values.map(|(key, value)| (key.to_owned(), Zeroizing::new(value.to_vec()))).collect())
    }
}

/// Opens nothing: for fleets without secrets.
pub struct NoVault;

impl Vault for NoVault {
    fn open(&self, path: &str, _: &[u8]) -> Result<Values, String> {
        Err(format!("{path}: nothing here opens it"))
    }
}

/// What a rollout knows of secrets.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Contents for nodes.
    pub opened: Opened,
    /// Keeps values out of what is written down.
    pub redactor: Redactor,
}

impl Secrets {
    /// Opens what the changed units of a plan have; the error names the secret. Files without such units stay closed.
    pub fn open(plan: &Plan, release: &Release, vault: &dyn Vault) -> Result<Self, String> {
        let changed = plan.steps().filter_map(|step| release.units.get(&step.unit));
        let contents: BTreeMap<String, &Sealed> = changed
            .flat_map(Unit::contents)
            .filter_map(|(name, content)| match content {
                Content::Sealed(sealed) => Some((name, sealed)),
                Content::Bytes(_) | Content::OnNode(_) => None,
            })
            .collect();
        let files = open_files(&contents, release, vault)?;
        let value = |secret: &SecretRef| {
            files.get(&secret.path()).and_then(|values| values.get(&secret.key)).map(|it| &***it)
        };
        let mut opened = BTreeMap::new();
        for (name, sealed) in &contents {
            let bytes = sealed.open(value).map_err(|secret| {
                format!("{}: there is no value `{}` in it", secret.path(), secret.key)
            })?;
            opened.insert(name.clone(), Zeroizing::new(bytes));
        }
        let used: BTreeSet<&SecretRef> =
            contents.values().flat_map(|sealed| sealed.references()).collect();
        let values: Vec<&[u8]> = used.into_iter().filter_map(value).collect();
        let short = values.iter().any(|value| Redactor::is_short(value));
        let blind = unknown(plan, |name| opened.contains_key(name) && !short);
        Ok(Self { redactor: Redactor::new(values.into_iter(), blind), opened: Opened::new(opened) })
    }

    /// Nothing could be opened: of units with secrets nothing is told.
    pub fn none(plan: &Plan) -> Self {
        let redactor = Redactor::new(std::iter::empty(), unknown(plan, |_| false));
        Self { opened: Opened::default(), redactor }
    }
}

/// What masks a unit outside of rollouts.
pub struct Masked;

impl Masked {
    /// Masks the secrets of a unit as its node runs it. They are known as far as the wanted release has the same; the
    /// error says why one isn't.
    pub fn of(running: &Unit, release: &Release, vault: &dyn Vault) -> Result<Redactor, String> {
        let names = running.sealed();
        if names.is_empty() {
            return Ok(Redactor::default());
        }
        let wanted = release.units.get(&running.id).map(Unit::contents).unwrap_or_default();
        let mut contents = BTreeMap::new();
        for name in names {
            let Some(Content::Sealed(sealed)) = wanted.get(&name) else {
                return Err("what it runs has others than the files here".to_owned());
            };
            contents.insert(name, sealed);
        }
        let files = open_files(&contents, release, vault)?;
        let used = contents.values().flat_map(|sealed| sealed.references());
        let values = used.filter_map(|secret| files.get(&secret.path())?.get(&secret.key));
        let values: Vec<&[u8]> = values.map(|value| value.as_slice()).collect();
        if values.iter().any(|value| Redactor::is_short(value)) {
            return Err("one is shorter than four characters".to_owned());
        }
        Ok(Redactor::new(values.into_iter(), BTreeSet::new()))
    }
}

fn open_files(
    contents: &BTreeMap<String, &Sealed>,
    release: &Release,
    vault: &dyn Vault,
) -> Result<BTreeMap<String, Values>, String> {
    let used: BTreeSet<String> =
        contents.values().flat_map(|sealed| sealed.references()).map(SecretRef::path).collect();
    let open = |path: String| {
        let text = release.secrets.get(&path).map_or(&[][..], Vec::as_slice);
        let values = vault.open(&path, text)?;
        Ok((path, values))
    };
    used.into_iter().map(open).collect()
}

/// Units whose old or new version has secrets that are not known.
fn unknown(plan: &Plan, known: impl Fn(&String) -> bool) -> BTreeSet<UnitId> {
    let blind = plan.steps().filter(|step| !step.sealed.iter().all(&known));
    blind.map(|step| step.unit.clone()).collect()
}

/// Whether what a unit runs, or half runs, has secrets in it.
pub(super) fn has_secrets(observed: &Observed, unit: &UnitId) -> bool {
    let Some(report) = observed.report(&unit.node) else { return true };
    let state = report.units.get(unit);
    let current = state.and_then(|state| state.current.as_ref());
    let manifest = current.and_then(|digest| report.manifests.get(digest));
    manifest.is_none_or(|manifest| !manifest.sealed().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Result<Values, String>);

    impl Vault for Fixed {
        fn open(&self, _: &str, _: &[u8]) -> Result<Values, String> {
            self.0.clone()
        }
    }

    #[test]
    fn a_fleet_without_secrets_opens_no_file() {
        let opened = open_files(&BTreeMap::new(), &Release::default(), &NoVault);
        assert_eq!(opened, Ok(BTreeMap::new()));
    }

    #[test]
    fn why_a_file_can_t_be_opened_is_told() {
        let secret: SecretRef = "db.password".parse().unwrap();
        let sealed = Sealed::one(secret, "ENC[x]".to_owned());
        let contents = BTreeMap::from([(sealed.blob(), &sealed)]);
        let vault = Fixed(Err("secrets/db.yaml: no key".to_owned()));
        let opened = open_files(&contents, &Release::default(), &vault);
        assert_eq!(opened, Err("secrets/db.yaml: no key".to_owned()));
    }
}
