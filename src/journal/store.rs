//! The journal's database: one connection, one statement per call, each durable when it returns.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Row as _, SqlSafeStr as _};

use crate::event::Event;
use crate::model::{Effect, Name, Outcome, Timestamp, Verdict};

use super::error::room;
use super::lock::{self, Lock};
use super::{JournalError, NewRollout, Past, RolloutRecord, Shown};

const FILE: &str = "journal.db";

/// The controller's record of rollouts. Cheap to clone; clones share one connection and one lock.
#[derive(Clone, Debug)]
pub struct Journal {
    pool: SqlitePool,
    directory: Arc<PathBuf>,
    _lock: Option<Arc<Lock>>,
}

impl Journal {
    /// Opens the journal in a state directory for a controller, making both when they aren't there.
    ///
    /// Holds the directory's lock until the last clone is dropped; fails at once when another process has it.
    pub async fn open(directory: &Path) -> Result<Self, JournalError> {
        let lock = lock::take(directory)?;
        room(directory)?;
        let options = SqliteConnectOptions::new()
            .filename(directory.join(FILE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let journal = Self::connect(directory, options, Some(lock)).await?;
        journal.migrate().await?;
        Ok(journal)
    }

    /// Opens the journal for looking at it, beside a controller that may be at work; takes no lock.
    ///
    /// A directory without a journal reads as an empty one, and nothing is made there.
    pub async fn read(directory: &Path) -> Result<Self, JournalError> {
        let file = directory.join(FILE);
        if file.exists() {
            room(directory)?;
            let options = SqliteConnectOptions::new().filename(file).pragma("query_only", "1");
            return Self::connect(directory, options, None).await;
        }
        let options = SqliteConnectOptions::new().in_memory(true);
        let journal = Self::connect(directory, options, None).await?;
        journal.migrate().await?;
        Ok(journal)
    }

    async fn connect(
        directory: &Path,
        options: SqliteConnectOptions,
        lock: Option<Lock>,
    ) -> Result<Self, JournalError> {
        let options = options.busy_timeout(Duration::from_secs(5)).disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(|error| JournalError::from_database(error, directory, ""))?;
        Ok(Self { pool, directory: Arc::new(directory.to_owned()), _lock: lock.map(Arc::new) })
    }

    /// The controller's state directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    async fn migrate(&self) -> Result<(), JournalError> {
        let sql = include_str!("migrations/0001_rollouts.sql").into_sql_str();
        let first = Migration::new(1, "rollouts".into(), MigrationType::Simple, sql, false);
        let sql = include_str!("migrations/0002_unlocks.sql").into_sql_str();
        let second = Migration::new(2, "unlocks".into(), MigrationType::Simple, sql, false);
        let sql = include_str!("migrations/0003_departed.sql").into_sql_str();
        let third = Migration::new(3, "departed".into(), MigrationType::Simple, sql, false);
        let run = Migrator::with_migrations(vec![first, second, third]).run(&self.pool).await;
        run.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                self.failed(error, "")
            }
            MigrateError::VersionMissing(_) => JournalError::Newer(self.directory.to_path_buf()),
            _ => JournalError::Damaged(self.directory.to_path_buf()),
        })
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Ends the connection, folding the write-ahead log into the file. Dropping the journal is safe as well.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// The id of the fleet's next rollout, `homelab-42`: the numbers only grow, and are at least `fence`, which nodes
    /// know also when a journal was lost.
    ///
    /// Nothing is reserved; two calls without a [`Journal::begin`] between them give the same id.
    pub async fn next_id(&self, fleet: &Name, fence: u64) -> Result<String, JournalError> {
        let highest: i64 =
            sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM rollouts WHERE fleet = ?")
                .bind(fleet.as_str())
                .fetch_one(&self.pool)
                .await
                .map_err(|error| self.failed(error, fleet.as_str()))?;
        let next = u64::try_from(highest).unwrap_or_default() + 1;
        Ok(format!("{fleet}-{}", next.max(fence)))
    }

    /// Records a rollout whole, before its first effect. An id that was begun before is refused.
    pub async fn begin(&self, rollout: &NewRollout<'_>) -> Result<(), JournalError> {
        let number = rollout.id.rsplit('-').next().and_then(|digits| digits.parse::<i64>().ok());
        let number = number.ok_or_else(|| JournalError::OutOfOrder(rollout.id.to_owned()))?;
        let query = sqlx::query(
            "INSERT INTO rollouts \
             (id, fleet, number, kind, plan, fences, nonce, holder, started, commit_id, changes) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(rollout.id)
        .bind(rollout.fleet.as_str())
        .bind(number)
        .bind(rollout.kind.word())
        .bind(text(rollout.plan, rollout.id)?)
        .bind(text(rollout.fences, rollout.id)?)
        .bind(rollout.nonce)
        .bind(rollout.holder)
        .bind(millis(rollout.started))
        .bind(rollout.plan.commit.as_ref().map(|commit| commit.id.as_str()))
        .bind(i64::try_from(rollout.plan.steps().count()).unwrap_or(i64::MAX));
        let done = query.execute(&self.pool).await;
        done.map(drop).map_err(|error| self.failed(error, rollout.id))
    }

    /// Records that an effect is about to be done.
    pub async fn issued(&self, id: &str, effect: &Effect) -> Result<(), JournalError> {
        self.append(id, "issued", text(effect, id)?).await
    }

    /// Records what came of an effect.
    pub async fn outcome(&self, id: &str, outcome: &Outcome) -> Result<(), JournalError> {
        self.append(id, "outcome", text(outcome, id)?).await
    }

    /// Records what was told.
    pub async fn event(&self, id: &str, event: &Event) -> Result<(), JournalError> {
        self.append(id, "event", text(event, id)?).await
    }

    async fn append(&self, id: &str, what: &str, body: String) -> Result<(), JournalError> {
        let query = sqlx::query("INSERT INTO entries (rollout, what, body) VALUES (?, ?, ?)");
        let done = query.bind(id).bind(what).bind(body).execute(&self.pool).await;
        done.map(drop).map_err(|error| self.failed(error, id))
    }

    /// Records how a rollout ended. Done again it changes nothing: the first verdict stays.
    pub async fn finish(
        &self,
        id: &str,
        verdict: Verdict,
        reason: &str,
        at: Timestamp,
    ) -> Result<(), JournalError> {
        let done = sqlx::query(
            "UPDATE rollouts SET verdict = coalesce(verdict, ?), reason = coalesce(reason, ?), \
             ended = coalesce(ended, ?) WHERE id = ?",
        )
        .bind(verdict.word())
        .bind(reason)
        .bind(millis(at))
        .bind(id)
        .execute(&self.pool)
        .await
        .map_err(|error| self.failed(error, id))?;
        if done.rows_affected() == 0 {
            return Err(JournalError::OutOfOrder(id.to_owned()));
        }
        Ok(())
    }

    /// Rollouts without a verdict, oldest first, each ready for a replay.
    pub async fn open_rollouts(&self) -> Result<Vec<RolloutRecord>, JournalError> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id FROM rollouts WHERE verdict IS NULL ORDER BY started, number",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.failed(error, ""))?;
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            records.extend(self.load(&id).await?);
        }
        Ok(records)
    }

    /// Whether the rollout with this nonce is one of this journal's and has its verdict.
    pub async fn is_over(&self, nonce: &str) -> Result<bool, JournalError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM rollouts WHERE nonce = ? AND verdict IS NOT NULL",
        )
        .bind(nonce)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.failed(error, ""))?;
        Ok(count > 0)
    }

    /// Everything that a replay needs of one rollout; none when it was never begun.
    pub async fn load(&self, id: &str) -> Result<Option<RolloutRecord>, JournalError> {
        let row = sqlx::query("SELECT * FROM rollouts WHERE id = ?").bind(id);
        let row = row.fetch_optional(&self.pool).await.map_err(|error| self.failed(error, id))?;
        let Some(row) = row else { return Ok(None) };
        let past = self.past(&row, id)?;
        Ok(Some(RolloutRecord {
            plan: self.json(&row, "plan", id)?,
            fences: self.json(&row, "fences", id)?,
            nonce: self.column(&row, "nonce", id)?,
            issued: self.entries(id, "issued").await?,
            outcomes: self.entries(id, "outcome").await?,
            id: past.id,
            fleet: past.fleet,
            kind: past.kind,
            holder: past.holder,
            started: past.started,
            verdict: past.verdict,
            reason: past.reason,
            ended: past.ended,
        }))
    }

    /// The newest rollout of a fleet, however it ended; none when it never had one.
    pub async fn newest(&self, fleet: &Name) -> Result<Option<Past>, JournalError> {
        let query = sqlx::query(
            "SELECT id, fleet, kind, commit_id, changes, holder, started, ended, verdict, reason \
             FROM rollouts WHERE fleet = ? ORDER BY number DESC LIMIT 1",
        );
        let row = query.bind(fleet.as_str()).fetch_optional(&self.pool).await;
        let row = row.map_err(|error| self.failed(error, ""))?;
        row.map(|row| self.past(&row, "")).transpose()
    }

    /// The newest rollouts, newest first.
    pub async fn history(&self, limit: u32) -> Result<Vec<Past>, JournalError> {
        let query = sqlx::query(
            "SELECT id, fleet, kind, commit_id, changes, holder, started, ended, verdict, reason \
             FROM rollouts ORDER BY started DESC, number DESC LIMIT ?",
        );
        let rows = query.bind(i64::from(limit)).fetch_all(&self.pool).await;
        let rows = rows.map_err(|error| self.failed(error, ""))?;
        rows.iter().map(|row| self.past(row, "")).collect()
    }

    /// One rollout with its plan, outcomes and events; none when no id fits.
    ///
    /// `42` stands for `homelab-42` when only one fleet has a rollout of that number.
    pub async fn show(&self, id: &str) -> Result<Option<Shown>, JournalError> {
        let Some(id) = self.full_id(id).await? else { return Ok(None) };
        let Some(record) = self.load(&id).await? else { return Ok(None) };
        let events = self.entries(&id, "event").await?;
        let past = Past {
            id: record.id,
            fleet: record.fleet,
            kind: record.kind,
            commit: record.plan.commit.as_ref().map(|commit| commit.id.clone()),
            changes: record.plan.steps().count() as u64,
            holder: record.holder,
            started: record.started,
            ended: record.ended,
            verdict: record.verdict,
            reason: record.reason,
        };
        Ok(Some(Shown { past, plan: record.plan, outcomes: record.outcomes, events }))
    }

    async fn full_id(&self, id: &str) -> Result<Option<String>, JournalError> {
        let number = id.parse::<i64>().unwrap_or(-1);
        let query = sqlx::query_scalar("SELECT id FROM rollouts WHERE id = ? OR number = ?");
        let found: Result<Vec<String>, _> = query.bind(id).bind(number).fetch_all(&self.pool).await;
        let found = found.map_err(|error| self.failed(error, id))?;
        let exact = found.iter().find(|candidate| *candidate == id).cloned();
        let single = if found.len() == 1 { found.into_iter().next() } else { None };
        Ok(exact.or(single))
    }

    async fn entries<T: DeserializeOwned>(
        &self,
        id: &str,
        what: &str,
    ) -> Result<Vec<T>, JournalError> {
        let query = sqlx::query_scalar(
            "SELECT body FROM entries WHERE rollout = ? AND what = ? ORDER BY seq",
        );
        let bodies: Result<Vec<String>, _> = query.bind(id).bind(what).fetch_all(&self.pool).await;
        let bodies = bodies.map_err(|error| self.failed(error, id))?;
        bodies.iter().map(|body| parse(body, id)).collect()
    }

    fn past(&self, row: &SqliteRow, id: &str) -> Result<Past, JournalError> {
        let id: String = self.column(row, "id", id)?;
        let words: (String, String) =
            (self.column(row, "fleet", &id)?, self.column(row, "kind", &id)?);
        let verdict: Option<String> = self.column(row, "verdict", &id)?;
        Ok(Past {
            fleet: quoted(&words.0, &id)?,
            kind: quoted(&words.1, &id)?,
            verdict: verdict.map(|word| quoted(&word, &id)).transpose()?,
            commit: self.column(row, "commit_id", &id)?,
            changes: count(self.column(row, "changes", &id)?),
            holder: self.column(row, "holder", &id)?,
            started: Timestamp(count(self.column(row, "started", &id)?)),
            ended: self.column::<Option<i64>>(row, "ended", &id)?.map(|at| Timestamp(count(at))),
            reason: self.column(row, "reason", &id)?,
            id,
        })
    }

    fn column<'r, T>(&self, row: &'r SqliteRow, name: &str, id: &str) -> Result<T, JournalError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        row.try_get(name).map_err(|error| self.failed(error, id))
    }

    fn json<T: DeserializeOwned>(
        &self,
        row: &SqliteRow,
        name: &str,
        id: &str,
    ) -> Result<T, JournalError> {
        parse(&self.column::<String>(row, name, id)?, id)
    }

    pub(super) fn failed(&self, error: sqlx::Error, id: &str) -> JournalError {
        JournalError::from_database(error, &self.directory, id)
    }
}

fn text(value: &impl Serialize, id: &str) -> Result<String, JournalError> {
    serde_json::to_string(value).map_err(|error| malformed(error, id))
}

fn parse<T: DeserializeOwned>(text: &str, id: &str) -> Result<T, JournalError> {
    serde_json::from_str(text).map_err(|error| malformed(error, id))
}

/// Reads a bare word as the noun that serialises to it.
fn quoted<T: DeserializeOwned>(word: &str, id: &str) -> Result<T, JournalError> {
    serde_json::from_value(serde_json::Value::from(word)).map_err(|error| malformed(error, id))
}

fn malformed(error: serde_json::Error, id: &str) -> JournalError {
    JournalError::Malformed { rollout: id.to_owned(), error }
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_commit_is_synced_to_the_disk() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::open(state.path()).await.unwrap();
        let ask = |sql: &'static str| sqlx::query(sql).fetch_one(&journal.pool);
        let mode: String = ask("PRAGMA journal_mode").await.unwrap().get(0);
        let level: i64 = ask("PRAGMA synchronous").await.unwrap().get(0);
        assert_eq!((mode.as_str(), level), ("wal", 2));
    }
}
