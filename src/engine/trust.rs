//! What the daemon asks about a commit before it looks into it: who signed it, and what it follows.

use crate::model::Commit;
use crate::source::{Distrust, SourceError};

use super::asked::Asked;
use super::daemon::Daemon;
use super::gate::Refusal;
use super::news::News;

impl Daemon {
    /// Whether a commit may be looked into at all. One that may not is told once.
    pub(super) async fn trusted(
        &self,
        commit: &str,
        new: bool,
        tell: &mut (dyn FnMut(News) + Send),
    ) -> Result<bool, SourceError> {
        let found = self.distrusted(commit).await?;
        let trusted = found.is_none();
        if let Some(distrust) = found.filter(|_| new) {
            tell(News::Refused(Refusal::distrusted(distrust)));
        }
        Ok(trusted)
    }

    /// Why a commit is not trusted; none when it is, or when nobody has to sign.
    pub(super) async fn distrusted(&self, commit: &str) -> Result<Option<Distrust>, SourceError> {
        match &self.signatures {
            Some(signatures) => self.mirror.distrust(commit, signatures, self.clock.now()).await,
            None => Ok(None),
        }
    }

    /// Looks up how a commit lies to the last good one.
    pub(super) async fn recall(
        &self,
        wanted: Option<&Commit>,
        asked: &mut Asked,
    ) -> Result<(), SourceError> {
        let (Some(wanted), Some(good)) = (wanted, asked.last_good()) else { return Ok(()) };
        let ancestry = self.mirror.ancestry(&good, &wanted.id).await?;
        asked.recall(wanted, &good, ancestry, self.any_history);
        Ok(())
    }
}
