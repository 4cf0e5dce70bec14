//! `gitsync apply --plan`: what was reviewed, held against what would be done at every point where it can differ.
//!
//! The file is only ever compared: what is rolled out is rendered and planned anew.

use std::path::{Path, PathBuf};

use crate::engine::{Survey, gate};
use crate::model::Snapshot;
use crate::plan::{self, Saved};

use super::context::{self, Wanted};
use super::problem::Problem;
use super::saved;

/// A plan that was reviewed.
pub struct Reviewed {
    file: PathBuf,
    saved: Saved,
}

impl Reviewed {
    /// Reads it from its file.
    pub fn read(file: &Path) -> Result<Self, Problem> {
        Ok(Self { file: file.to_owned(), saved: saved::read(file)? })
    }

    /// The files of HEAD, straight from Git, when that is the commit which the plan names.
    pub fn snapshot(&self, path: &Path) -> Result<Snapshot, Problem> {
        let head = context::at_revision(path, "HEAD")?;
        let id = head.commit.as_ref().map(|commit| commit.id.as_str());
        let Some(difference) = plan::other_commit(&self.saved, id) else { return Ok(head) };
        let stale = saved::stale(&self.file, &[difference]);
        // The id comes from the file, and people paste what a hint says.
        let id = self.saved.plan.commit.as_ref().map(|commit| commit.id.as_str());
        let id = id.filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Err(match id {
            Some(id) => stale.hint(format!("or check out what was reviewed: `git checkout {id}`")),
            None => stale,
        })
    }

    /// Whether the commit still means what it meant, before any node is asked.
    pub fn is_of(&self, wanted: &Wanted) -> Result<(), Problem> {
        self.only(plan::unlike(&self.saved, &wanted.fleet.name, &wanted.release))
    }

    /// Whether exactly this would be done now, and may be done at all.
    pub fn is_still(&self, survey: &Survey, takeover: bool) -> Result<(), Problem> {
        // An unreachable node or another's rollout is told as such, not as all that it makes different.
        gate(&survey.plan, &survey.observed, takeover)
            .map_err(|refusal| Problem::from_refusal(&refusal))?;
        let now = Saved::new(survey.plan.clone(), &survey.observed);
        let stale = self.only(plan::differences(&self.saved, &now));
        let over = now.plan.is_empty() && now.plan.release == self.saved.plan.release;
        stale.map_err(|problem| match over {
            true => problem.hint("the nodes already run what this plan leads to"),
            false => problem,
        })
    }

    fn only(&self, differences: Vec<String>) -> Result<(), Problem> {
        match differences.is_empty() {
            true => Ok(()),
            false => Err(saved::stale(&self.file, &differences)),
        }
    }
}
