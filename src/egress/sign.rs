//! Signatures by which a destination knows that a message is ours, as the Standard Webhooks specification has them
//! (standardwebhooks.com, 1.0.0). It keeps no secret.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::http::base64;

/// The value of `webhook-signature`. The key is the secret's bytes as they are.
pub fn webhook(secret: &str, id: &str, unix_s: i64, body: &[u8]) -> String {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    let mac = mac.chain_update(format!("{id}.{unix_s}.")).chain_update(body);
    format!("v1,{}", base64(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac and base64.
    #[test]
    fn a_signature_is_over_id_time_and_body() {
        let signature = webhook("plain secret of sixteen", "msg_1", 1_674_087_231, b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,CLjJl2BoTOQXODB9Abllz5xBFi4L2inYWUk9ATnw0H8=");
        assert_ne!(signature, webhook("plain secret of sixteen", "msg_1", 1_674_087_232, b"{\"test\": 2432232314}"));
    }
}
