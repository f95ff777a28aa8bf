//! The statements.

/// The version of the tables that this program makes and reads.
pub(crate) const FORMAT: i32 = 1;

/// All statements, for one pair of tables.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) create: [String; 3],
    pub(crate) read_format: String,
    pub(crate) take: String,
    pub(crate) holder: String,
    pub(crate) renew: String,
    pub(crate) next_epoch: String,
    pub(crate) release: String,
    pub(crate) guard: String,
    pub(crate) put: String,
    pub(crate) delete: String,
    pub(crate) get: String,
    pub(crate) page: String,
}

impl Sql {
    /// Both names must have been [checked](is_name).
    pub(crate) fn new(schema: &str, table: &str) -> Self {
        let (rows, lease) = (format!("\"{schema}\".\"{table}\""), format!("\"{schema}\".\"{table}_lease\""));
        // The server's own clock says how long a lease lasts, for it is the one that all who want it share.
        let until = |parameter: &str| format!("clock_timestamp() + {parameter}::bigint * interval '1 millisecond'");
        Self {
            create: [
                format!(
                    "CREATE TABLE IF NOT EXISTS {rows} (namespace bytea NOT NULL, key bytea NOT NULL, \
                     value bytea NOT NULL, PRIMARY KEY (namespace, key))"
                ),
                format!(
                    "CREATE TABLE IF NOT EXISTS {lease} (id integer PRIMARY KEY, format integer NOT NULL, \
                     epoch bigint NOT NULL, holder bytea, name text, until timestamptz NOT NULL)"
                ),
                format!(
                    "INSERT INTO {lease} (id, format, epoch, until) VALUES (1, {FORMAT}, 0, clock_timestamp()) \
                     ON CONFLICT (id) DO NOTHING"
                ),
            ],
            read_format: format!("SELECT format FROM {lease} WHERE id = 1"),
            // One who doesn't know whether he has taken it may take it again.
            take: format!(
                "UPDATE {lease} SET holder = $1, name = $2, epoch = epoch + 1, until = {} WHERE id = 1 AND \
                 (holder IS NULL OR holder = $1 OR until <= clock_timestamp()) RETURNING epoch",
                until("$3")
            ),
            holder: format!(
                "SELECT name, (EXTRACT(EPOCH FROM until - clock_timestamp()) * 1000)::bigint FROM {lease} \
                 WHERE id = 1 AND holder IS NOT NULL"
            ),
            renew: format!("UPDATE {lease} SET until = {} WHERE id = 1 AND holder = $1 RETURNING epoch", until("$2")),
            next_epoch: format!(
                "UPDATE {lease} SET epoch = epoch + 1, until = {} WHERE id = 1 AND holder = $1 RETURNING epoch",
                until("$2")
            ),
            release: format!("UPDATE {lease} SET holder = NULL, name = NULL WHERE id = 1 AND holder = $1"),
            guard: format!("SELECT epoch FROM {lease} WHERE id = 1 AND holder = $1 AND epoch = $2 FOR SHARE"),
            put: format!(
                "INSERT INTO {rows} (namespace, key, value) \
                 SELECT n, k, v FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS given (n, k, v) \
                 ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value"
            ),
            delete: format!(
                "DELETE FROM {rows} WHERE (namespace, key) IN \
                 (SELECT n, k FROM unnest($1::bytea[], $2::bytea[]) AS given (n, k))"
            ),
            get: format!("SELECT value FROM {rows} WHERE namespace = $1 AND key = $2"),
            // One statement sees one state. Rows come until those before them make a full page.
            page: format!(
                "SELECT key, value FROM (SELECT key, value, sum(octet_length(key) + octet_length(value)) \
                 OVER (ORDER BY key ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) \
                 - octet_length(key) - octet_length(value) AS before \
                 FROM (SELECT key, value FROM {rows} WHERE namespace = $1 AND key >= $2 AND key < $3 \
                 ORDER BY key LIMIT $4) AS first) AS summed \
                 WHERE before < $5 ORDER BY key"
            ),
        }
    }
}

/// Whether a schema or table can be called so without surprises.
pub(crate) fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    // With `_lease` behind it, it must stay within the 63 bytes that a server keeps of a name.
    (1..=50).contains(&name.len())
        && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
        && name.bytes().next().is_some_and(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["dagstore", "_a9", "a"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Dagstore", "a-b", "9a", "a\"b", "a.b", &"a".repeat(51)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
