//! Files of PEM.

use openssl::pkey::{PKey, Private};

/// The key in a file of PEM; one that asks for a password is refused, not asked for.
///
/// # Errors
/// In words.
pub(crate) fn private_key(pem: &[u8]) -> Result<PKey<Private>, String> {
    let mut encrypted = false;
    let read = PKey::private_key_from_pem_callback(pem, |_| {
        encrypted = true;
        Ok(0)
    });
    read.map_err(|_| match encrypted {
        true => "the key is encrypted".to_owned(),
        false => "no private key in it".to_owned(),
    })
}
