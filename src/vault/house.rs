//! The vault's own work while a gateway serves: erasures as they are asked for, retention every hour. It
//! decides nothing about when anything is due.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::Vault;
use super::fan::Orders;

/// Somebody waits for an erasure; it is looked for this often.
const ERASURES_EVERY: Duration = Duration::from_secs(2);
const RETENTION_EVERY: Duration = Duration::from_secs(3600);

/// Works until the gateway stops. What is cut off goes on at the next start.
pub async fn keep(vault: Vault, orders: Arc<dyn Orders>, stopping: impl Future<Output = ()>) {
    let mut erasures = tokio::time::interval(ERASURES_EVERY);
    let mut retention = tokio::time::interval(RETENTION_EVERY);
    erasures.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    retention.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopping = std::pin::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            _ = erasures.tick() => if vault.alone().await.is_ok() {
                vault.erase_all(&*orders).await;
            },
            _ = retention.tick() => match vault.retain().await {
                Ok(report) => {
                    let rows: u64 = report.goes.iter().map(|line| line.rows).sum();
                    info!(rows, "retention has run");
                }
                Err(error) => warn!(%error, "retention could not run; it runs again in an hour"),
            },
        }
    }
}
