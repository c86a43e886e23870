//! Addresses, for `URL` and `URLSearchParams`: what the crate `url` says of them.

use rquickjs::{Ctx, Exception};
use url::{Url, quirks};

/// The longest text that is taken for an address, which takes about a millisecond: nothing is stopped in the middle of it.
pub(super) const MAX_BYTES: u32 = 32 << 10;

/// `host.parseUrl(text, base)`: the parts of an address, the whole first, in the order of url.js.
///
/// # Errors
/// A `TypeError` where it is no address.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]
pub(super) fn parse(
    ctx: Ctx<'_>,
    text: String,
    base: Option<String>,
) -> rquickjs::Result<Vec<String>> {
    let fail = |what: &str, error| {
        Exception::throw_type(&ctx, &format!("URL: {what} is no address: {error}"))
    };
    let base = base.map(|base| Url::parse(&base).map_err(|error| fail("the base", error)));
    let options = base.transpose()?;
    let url = Url::options().base_url(options.as_ref()).parse(&text);
    url.map(|url| parts(&url))
        .map_err(|error| fail("the text", error))
}

/// `host.setUrl(whole, part, value)`: the parts after one of them, by its place, has been set. A value that cannot be
/// leaves the address as it is.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]
pub(super) fn set(
    ctx: Ctx<'_>,
    whole: String,
    part: usize,
    value: String,
) -> rquickjs::Result<Vec<String>> {
    let mut url =
        Url::parse(&whole).map_err(|error| Exception::throw_type(&ctx, &error.to_string()))?;
    // As the standard has it, what cannot be set is ignored.
    let _ = match part {
        2 => quirks::set_protocol(&mut url, &value),
        3 => quirks::set_username(&mut url, &value),
        4 => quirks::set_password(&mut url, &value),
        5 => quirks::set_host(&mut url, &value),
        6 => quirks::set_hostname(&mut url, &value),
        7 => quirks::set_port(&mut url, &value),
        8 => {
            quirks::set_pathname(&mut url, &value);
            Ok(())
        }
        9 => {
            quirks::set_search(&mut url, &value);
            Ok(())
        }
        _ => {
            quirks::set_hash(&mut url, &value);
            Ok(())
        }
    };
    Ok(parts(&url))
}

fn parts(url: &Url) -> Vec<String> {
    [
        quirks::href(url),
        &quirks::origin(url),
        quirks::protocol(url),
        quirks::username(url),
        quirks::password(url),
        quirks::host(url),
        quirks::hostname(url),
        quirks::port(url),
        quirks::pathname(url),
        quirks::search(url),
        quirks::hash(url),
    ]
    .map(str::to_owned)
    .to_vec()
}
