//! Who this process is: by the files of `--tls-*`, else by this user's own authority.

use crate::args::TlsArgs;
use madrpc_core::identity::{Identity, IdentityError, Role};

/// The identity that the flags ask for.
///
/// # Errors
/// Where files or the user's authority cannot be used.
pub(crate) fn identity(args: &TlsArgs, role: Role) -> Result<Identity, IdentityError> {
    match (&args.tls_ca, &args.tls_cert, &args.tls_key) {
        (Some(ca), Some(cert), Some(key)) => Identity::from_files(ca, cert, key),
        // clap lets all three pass, or none.
        _ => Identity::of_this_user(role),
    }
}
