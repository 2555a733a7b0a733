//! Whether a configuration may serve at all: nothing is kept or reached elsewhere than it says. It tells
//! by what is declared; where a machine really stands it cannot know.

use crate::Country;
use crate::egress::{BadDestination, Destination};

/// Something that keeps data: the database, the keystore, recordings, a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its key in the configuration.
    pub what: String,
    /// None: not said.
    pub country: Option<Country>,
    /// Declared to be outside of the residency.
    pub abroad: bool,
}

/// A URL in the configuration by which data may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its key in the configuration.
    pub what: String,
    pub url: String,
}

/// Why it does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStarting {
    #[error("{what}: say in which country it is, as residency is set")]
    PlaceUnknown { what: String },
    #[error("{what} is in {country}, outside of residency = \"{home}\": move it, or declare abroad = true there")]
    PlaceAbroad { what: String, country: Country, home: Country },
    #[error(
        "[[destination]] '{name}' is in {country}, outside of residency = \"{home}\": choose another, or declare abroad = true there"
    )]
    DestinationAbroad { name: String, country: Country, home: Country },
    #[error("{what}: no [[destination]] of the policy has this URL's host: declare one, or remove it")]
    NotDeclared { what: String },
    #[error(transparent)]
    Destination(#[from] BadDestination),
}

/// Everything that is wrong, in order; empty: it may start.
pub fn check_start(
    residency: Option<Country>,
    places: &[Place],
    destinations: &[Destination],
    endpoints: &[Endpoint],
) -> Vec<NotStarting> {
    let mut wrong = vec![];
    for (i, destination) in destinations.iter().enumerate() {
        wrong.extend(destination.check().err().map(NotStarting::Destination));
        if destinations[..i].iter().any(|other| other.name == destination.name) {
            wrong.push(BadDestination::Twice(destination.name.clone()).into());
        }
    }
    for Endpoint { what, url } in endpoints {
        if !destinations.iter().any(|destination| destination.serves(url)) {
            wrong.push(NotStarting::NotDeclared { what: what.clone() });
        }
    }
    let Some(home) = residency else { return wrong };
    for Place { what, country, abroad } in places {
        match *country {
            None => wrong.push(NotStarting::PlaceUnknown { what: what.clone() }),
            Some(country) if country != home && !abroad => {
                wrong.push(NotStarting::PlaceAbroad { what: what.clone(), country, home });
            }
            Some(_) => {}
        }
    }
    for Destination { name, country, abroad, .. } in destinations {
        if *country != home && !abroad {
            wrong.push(NotStarting::DestinationAbroad { name: name.clone(), country: *country, home });
        }
    }
    wrong
}
