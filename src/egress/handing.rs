//! What two people agreed to hand over, on its way. It makes no document and asks nobody.

use std::time::Duration;

use ::privacy::egress::{Denied, Purpose, Sort};
use ::privacy::roles::{Cleared, Handing};
use ::privacy::{Scopes, Time};
use zeroize::Zeroizing;

use super::{Cargo, Egress, Parcel, denied, size, transfer_id};

/// Everything held on somebody may be long.
const PATIENCE: Duration = Duration::from_secs(120);

impl Egress {
    /// Whether this place takes it at all, before two people are troubled.
    ///
    /// # Errors
    /// Where it is no destination, or takes something else.
    pub fn takes(&self, destination: &str, what: Handing, sort: Sort) -> Result<(), Denied> {
        let purpose = match what {
            Handing::Export => Purpose::Export,
            Handing::Disclosure => Purpose::Disclosure,
        };
        let known = self.destination(destination).ok_or(Denied::Unknown)?;
        if known.kind.takes(sort, purpose) { Ok(()) } else { Err(Denied::NotForThisKind { sort }) }
    }

    /// The document of an approval, to its destination. `granted` is what stands of the subject's consent.
    ///
    /// # Errors
    /// Where the approval does not fit or has run out, or it would go abroad without consent.
    pub fn hand_over(
        &self,
        cleared: Cleared,
        granted: &Scopes,
        sort: Sort,
        document: Zeroizing<Vec<u8>>,
        media_type: &'static str,
        now: Time,
    ) -> Result<Parcel, Denied> {
        let name = format!("approval-{}", cleared.approval());
        let about = (transfer_id(), sort, size(&document), now);
        let ticket = self.0.broker.hand_over(cleared, granted, about).inspect_err(denied)?;
        let purpose = ticket.transfer().purpose;
        Ok(self.parcel(&ticket, Cargo { sort, purpose, body: document, name, patience: PATIENCE }).of_type(media_type))
    }
}
