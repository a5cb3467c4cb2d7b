//! The memory that this process may have.

use crate::env::{Env, EnvError};

/// Limits beyond this are none: what cgroup version 1 says where there is no limit, or a whole large machine.
const MAX_LIMIT: usize = 1 << 40;

/// Returns the process's memory limit in bytes, if it has one: `MEMORY_LIMIT` in Kubernetes' notation, or that of its
/// control group, as container runtimes set it.
pub(crate) fn limit(env: &Env) -> Result<Option<usize>, EnvError> {
    if let Some(limit) = env.bytes("MEMORY_LIMIT")? {
        return Ok(Some(limit));
    }
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    Ok(texts.filter_map(|text| text.trim().parse().ok()).find(|limit| *limit < MAX_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_a_quantity() {
        for (text, bytes) in [
            ("64Mi", Some(64 << 20)),
            ("1Gi", Some(1 << 30)),
            ("67108864", Some(64 << 20)),
            ("64M", Some(64_000_000)),
            ("1.5Gi", None),
            ("64MB", None),
            ("-1", None),
            ("99999999999999999999Gi", None),
            ("0", None),
        ] {
            let limit = limit(&Env::from([("MEMORY_LIMIT", text)]));
            assert_eq!(limit.ok().flatten(), bytes, "{text}");
        }
    }
}
