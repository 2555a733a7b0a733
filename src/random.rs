//! Random bits from the system's generator: identifiers, which are always to be had, and secrets, which are good or
//! not at all.

/// 128 random bits. The gateway asks once at start whether the generator works, so a failure here is next
/// to impossible; a weak identifier is then better than a dropped call.
pub fn bits() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        return crate::clock::unix_ms().unsigned_abs().into();
    }
    u128::from_le_bytes(bytes)
}

/// Bytes for keys and passwords: from the system's generator, or none.
pub fn secret<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// 0 to `most`, both included; the bias of the remainder is below 2^-96.
pub fn up_to(most: u32) -> u32 {
    u32::try_from(bits() % (u128::from(most) + 1)).unwrap_or(most)
}
