//! Nodes that left a fleet before they were cleaned: remembered until they are, or until an operator forgets them.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::model::{Name, Timestamp};

use super::{Journal, JournalError};

/// A node that left its fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Departed {
    /// Which.
    pub node: Name,
    /// A commit whose fleet has it: its file says how it is reached.
    pub commit: String,
    /// When it was first found gone.
    pub since: Timestamp,
    /// Who forgot it and when, if somebody did.
    pub forgotten: Option<Forgotten>,
}

/// A node that an operator said is gone for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// Who, in words.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Journal {
    /// Nodes that left a fleet, by name. A journal of an older version has none.
    pub async fn departed(&self, fleet: &Name) -> Result<Vec<Departed>, JournalError> {
        let there = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'departed'")
            .fetch_optional(self.pool())
            .await
            .map_err(|error| self.failed(error, ""))?;
        if there.is_none() {
            return Ok(Vec::new());
        }
        let query = sqlx::query("SELECT * FROM departed WHERE fleet = ? ORDER BY node");
        let rows = query.bind(fleet.as_str()).fetch_all(self.pool()).await;
        let rows = rows.map_err(|error| self.failed(error, ""))?;
        Ok(rows.iter().filter_map(read).collect())
    }

    /// Remembers that a node left before it was cleaned. One that is remembered already stays as it is.
    pub async fn depart(
        &self,
        fleet: &Name,
        node: &Name,
        commit: &str,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let query = sqlx::query(
            "INSERT OR IGNORE INTO departed (fleet, node, commit_id, since) VALUES (?, ?, ?, ?)",
        );
        let query = query.bind(fleet.as_str()).bind(node.as_str()).bind(commit).bind(millis(now));
        let done = query.execute(self.pool()).await;
        done.map(drop).map_err(|error| self.failed(error, ""))
    }

    /// A node that left is clean, or is in the fleet again.
    pub async fn settled(&self, fleet: &Name, node: &Name) -> Result<(), JournalError> {
        let query = sqlx::query("DELETE FROM departed WHERE fleet = ? AND node = ?");
        let done = query.bind(fleet.as_str()).bind(node.as_str()).execute(self.pool()).await;
        done.map(drop).map_err(|error| self.failed(error, ""))
    }

    /// An operator says that a node is gone for good: it is never asked again. Whether it was remembered.
    pub async fn forget(
        &self,
        fleet: &Name,
        node: &Name,
        forgotten: &Forgotten,
    ) -> Result<bool, JournalError> {
        let query = sqlx::query(
            "UPDATE departed SET forgotten_by = ?, reason = ?, forgotten = ? \
             WHERE fleet = ? AND node = ? AND forgotten IS NULL",
        )
        .bind(&forgotten.by)
        .bind(&forgotten.reason)
        .bind(millis(forgotten.at))
        .bind(fleet.as_str())
        .bind(node.as_str());
        let done = query.execute(self.pool()).await;
        done.map(|it| it.rows_affected() > 0).map_err(|error| self.failed(error, ""))
    }
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn read(row: &SqliteRow) -> Option<Departed> {
    let at = |at: i64| Timestamp(u64::try_from(at).unwrap_or_default());
    let forgotten = row.get::<Option<i64>, _>("forgotten").map(|when| Forgotten {
        by: row.get::<Option<String>, _>("forgotten_by").unwrap_or_default(),
        reason: row.get::<Option<String>, _>("reason").unwrap_or_default(),
        at: at(when),
    });
    Some(Departed {
        node: Name::new(row.get::<String, _>("node")).ok()?,
        commit: row.get("commit_id"),
        since: at(row.get("since")),
        forgotten,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_is_remembered_until_it_is_settled_or_forgotten() {
        let place = tempfile::tempdir().unwrap();
        let journal = Journal::open(place.path()).await.unwrap();
        let [fleet, one, two] = ["lab", "one", "two"].map(|text| Name::new(text).unwrap());
        journal.depart(&fleet, &one, "c1", Timestamp(1)).await.unwrap();
        journal.depart(&fleet, &one, "c2", Timestamp(2)).await.unwrap();
        journal.depart(&fleet, &two, "c2", Timestamp(3)).await.unwrap();
        let found = journal.departed(&fleet).await.unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].commit.as_str(), found[0].since), ("c1", Timestamp(1)));
        assert!(journal.departed(&two).await.unwrap().is_empty());
        let by = Forgotten { by: "me".to_owned(), reason: "sold".to_owned(), at: Timestamp(4) };
        assert!(journal.forget(&fleet, &one, &by).await.unwrap());
        assert!(!journal.forget(&fleet, &one, &by).await.unwrap(), "it was forgotten before");
        journal.depart(&fleet, &one, "c3", Timestamp(5)).await.unwrap();
        journal.settled(&fleet, &two).await.unwrap();
        let found = journal.departed(&fleet).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].forgotten.as_ref(), Some(&by));
        journal.settled(&fleet, &one).await.unwrap();
        assert!(journal.departed(&fleet).await.unwrap().is_empty());
    }
}
