//! Holds of other rollouts that an operator ended, as the history tells them.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::model::{Name, Timestamp};

use super::{Journal, JournalError};

/// A hold that was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unlocked {
    /// The fleet.
    pub fleet: Name,
    /// The rollout that held it.
    pub rollout: String,
    /// Whose rollout, in words.
    pub held_by: String,
    /// The nodes on which it was ended.
    pub nodes: Vec<Name>,
    /// Who ended it, in words.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Journal {
    /// The id of the rollout with this nonce, if it is one of this journal's and has no verdict.
    pub async fn open_of(&self, nonce: &str) -> Result<Option<String>, JournalError> {
        let query = "SELECT id FROM rollouts WHERE nonce = ? AND verdict IS NULL";
        let found = sqlx::query_scalar(query).bind(nonce).fetch_optional(self.pool()).await;
        found.map_err(|error| self.failed(error, ""))
    }

    /// Records that a hold was ended.
    pub async fn unlocked(&self, unlocked: &Unlocked) -> Result<(), JournalError> {
        let nodes: Vec<&str> = unlocked.nodes.iter().map(Name::as_str).collect();
        let query = sqlx::query(
            "INSERT INTO unlocks (fleet, rollout, held_by, nodes, by, reason, at) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(unlocked.fleet.as_str())
        .bind(&unlocked.rollout)
        .bind(&unlocked.held_by)
        .bind(nodes.join(" "))
        .bind(&unlocked.by)
        .bind(&unlocked.reason)
        .bind(i64::try_from(unlocked.at.0).unwrap_or(i64::MAX));
        let done = query.execute(self.pool()).await;
        done.map(drop).map_err(|error| self.failed(error, &unlocked.rollout))
    }

    /// Holds that were ended, newest first. A journal of an older version has none.
    pub async fn unlocks(&self, limit: u32) -> Result<Vec<Unlocked>, JournalError> {
        let there = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'unlocks'")
            .fetch_optional(self.pool())
            .await
            .map_err(|error| self.failed(error, ""))?;
        if there.is_none() {
            return Ok(Vec::new());
        }
        let query = sqlx::query("SELECT * FROM unlocks ORDER BY at DESC, seq DESC LIMIT ?");
        let rows = query.bind(i64::from(limit)).fetch_all(self.pool()).await;
        let rows = rows.map_err(|error| self.failed(error, ""))?;
        Ok(rows.iter().filter_map(read).collect())
    }
}

fn read(row: &SqliteRow) -> Option<Unlocked> {
    let name = |text: &str| Name::new(text).ok();
    Some(Unlocked {
        fleet: name(&row.get::<String, _>("fleet"))?,
        rollout: row.get("rollout"),
        held_by: row.get("held_by"),
        nodes: row.get::<String, _>("nodes").split(' ').filter_map(name).collect(),
        by: row.get("by"),
        reason: row.get("reason"),
        at: Timestamp(u64::try_from(row.get::<i64, _>("at")).unwrap_or_default()),
    })
}
