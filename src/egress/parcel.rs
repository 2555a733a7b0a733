//! One sending that was allowed: logged before its first byte leaves, and how it ended. It decides nothing.

use std::sync::Arc;
use std::time::Duration;

use ::privacy::Time;
use ::privacy::egress::{Ended, Transfer};
use axum::body::Bytes;
use reqwest::header;
use sip::Private;
use zeroize::Zeroizing;

use super::{Cargo, Egress, NotLogged, sign};
use crate::clock;

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("nothing was sent: {0}; look at the store")]
    Log(#[from] NotLogged),
    #[error("the destination did not answer: {0}")]
    Http(reqwest::Error),
    #[error("the destination answered {0}")]
    Status(u16),
    #[error("the destination's answer is longer than {0} bytes")]
    TooLong(usize),
}

impl SendError {
    /// Of the URL nothing is told: it may hold a secret.
    fn http(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }

    /// Whether the same may go better later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Log(_) | Self::Http(_) => true,
            Self::Status(status) => passes(*status),
            Self::TooLong(_) => false,
        }
    }
}

/// RFC 9110 15.5 and 15.6, RFC 8470 5.2, RFC 6585 4.
pub(super) fn passes(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

/// How the destination is shown who we are.
enum Login {
    /// With its secret, if there is one.
    Signed,
    Bearer(Option<Private<String>>),
}

/// What may be sent to one place. Dropped, it is not sent.
#[must_use = "a parcel that is dropped is not sent"]
pub struct Parcel {
    egress: Egress,
    url: String,
    /// None: it stays on this machine.
    row: Option<Transfer>,
    /// Wiped with its last copy of ours.
    body: Bytes,
    /// Of the body, as `Content-Type`.
    media_type: &'static str,
    name: String,
    patience: Duration,
    login: Login,
}

/// Bytes that are wiped when the last of us has let go of them; what the connection copied is its own.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Parcel {
    pub(super) fn new(egress: Egress, url: String, row: Option<Transfer>, cargo: Cargo) -> Self {
        let Cargo { body, name, patience, .. } = cargo;
        let body = Bytes::from_owner(Wiped(body));
        Self { egress, url, row, body, media_type: "application/json", name, patience, login: Login::Signed }
    }

    /// To this address at the same place instead. None: it is another place.
    pub fn at(mut self, url: &str) -> Option<Self> {
        let destination = self.row.as_ref().and_then(|row| self.egress.destination(&row.destination));
        let same = destination.is_some_and(|d| d.serves(url));
        self.url = url.into();
        same.then_some(self)
    }

    pub fn with_bearer(mut self, key: Option<Private<String>>) -> Self {
        self.login = Login::Bearer(key);
        self
    }

    pub(super) fn of_type(mut self, media_type: &'static str) -> Self {
        self.media_type = media_type;
        self
    }

    /// The row of the transfer log, as it is before it is sent. None: it stays on this machine.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.row.as_ref()
    }

    /// Done when the destination has begun to answer. Dropped on the way it counts as failed: something may have
    /// arrived.
    ///
    /// # Errors
    /// Where the log could not be written, and so nothing was sent; where the destination does not answer.
    pub async fn send(&self) -> Result<Reply, SendError> {
        let inner = &self.egress.0;
        if let Some(row) = &self.row {
            inner.log.write(row.clone()).await?;
        }
        let open = Open { row: self.row.clone(), egress: self.egress.clone() };
        match self.request().send().await {
            Ok(response) => {
                open.end(Ended::Sent);
                Ok(Reply(response))
            }
            Err(error) => {
                open.end(Ended::Failed);
                Err(SendError::http(error))
            }
        }
    }

    fn request(&self) -> reqwest::RequestBuilder {
        let inner = &self.egress.0;
        let request = inner.client.post(&self.url).timeout(self.patience).header(header::CONTENT_TYPE, self.media_type);
        let request = request.body(self.body.clone());
        match &self.login {
            Login::Bearer(Some(key)) => request.bearer_auth(key.expose()),
            Login::Bearer(None) => request,
            Login::Signed => match self.row.as_ref().and_then(|row| inner.secrets.get(&row.destination)) {
                Some(secret) => {
                    let now_s = clock::unix_ms().div_euclid(1000);
                    let signature = sign::webhook(secret.expose(), &self.name, now_s, &self.body);
                    request
                        .header("webhook-id", &self.name)
                        .header("webhook-timestamp", now_s)
                        .header("webhook-signature", signature)
                }
                None => request.header("webhook-id", &self.name),
            },
        }
    }
}

/// A sending under way; dropped, it failed.
struct Open {
    row: Option<Transfer>,
    egress: Egress,
}

impl Open {
    fn end(mut self, ended: Ended) {
        self.write(ended);
    }

    /// Nobody waits for it: a row without an end counts as one that may have arrived.
    fn write(&mut self, ended: Ended) {
        let Some(row) = self.row.take() else { return };
        let row = Transfer { ended: Some(ended), ended_at: Some(Time(clock::unix_ms())), ..row };
        let log = Arc::clone(&self.egress.0.log);
        self.egress.0.runtime.spawn(async move {
            if log.write(row).await.is_err() {
                tracing::warn!("the end of a transfer could not be logged; it counts as one that may have arrived");
            }
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.write(Ended::Failed);
    }
}

/// What a destination answers.
pub struct Reply(reqwest::Response);

impl Reply {
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// # Errors
    /// Where it answered that it will not.
    pub fn accepted(self) -> Result<Self, SendError> {
        if self.0.status().is_success() { Ok(self) } else { Err(SendError::Status(self.status())) }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SendError> {
        self.0.chunk().await.map_err(SendError::http)
    }

    /// The rest of it.
    ///
    /// # Errors
    /// Where it is longer, or the connection breaks.
    pub async fn body(mut self, bytes_max: usize) -> Result<Vec<u8>, SendError> {
        let mut body = vec![];
        while let Some(piece) = self.chunk().await? {
            if body.len() + piece.len() > bytes_max {
                return Err(SendError::TooLong(bytes_max));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}
