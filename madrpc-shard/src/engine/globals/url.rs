//! Addresses, for `URL` and `URLSearchParams`: what the crate `url` says of them.

use rquickjs::{Ctx, Exception};
use url::{ParseError, Url, quirks};

/// The longest text that is taken for an address, which takes about a millisecond: nothing is stopped in the middle of it.
pub(super) const MAX_BYTES: u32 = 32 << 10;

/// The longest address that may come of it: every character of such a text can take nine.
const HREF_MAX_BYTES: usize = 10 * MAX_BYTES as usize;

/// The longest host that is not plain ASCII, as UTF-8. To write one as ASCII takes as long as the square of its labels; one that DNS
/// can have, of 253 characters of ASCII (RFC 1035, section 3.1), is shorter. Node.js takes any.
const UNICODE_HOST_MAX_BYTES: usize = 1024;

/// `host.parseUrl(text, base)`: the parts of an address, the whole first, in the order of url.js.
///
/// # Errors
/// A `TypeError` where it is no address, a `RangeError` where that is too long.
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
    let take = |what, text: &str, base: Option<&Url>| match is_too_long(host_of(text)) {
        true => Err(fail(what, ParseError::IdnaError)),
        false => {
            let url = Url::options().base_url(base).parse(text);
            url.map_err(|error| fail(what, error))
        }
    };
    let base = base.map(|base| take("the base", &base, None)).transpose()?;
    parts(&ctx, &take("the text", &text, base.as_ref())?)
}

/// `host.setUrl(whole, part, value)`: the parts after one of them, by its place, has been set. A value that cannot be
/// leaves the address as it is.
///
/// # Errors
/// A `RangeError` where the address is too long.
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
        5 | 6 if is_too_long(authority_of(&value)) => Err(()),
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
    parts(&ctx, &url)
}

/// The host in a text, where one is named that is to be written as ASCII.
fn host_of(text: &str) -> &str {
    // What is left out wherever it is (URL Standard, section 4.4).
    let is_nothing = |char| matches!(char, '\t' | '\n' | '\r');
    let is_slash = |char| matches!(char, '/' | '\\');
    let text = text.trim_start_matches(|char| char <= ' ');
    let scheme = text.split_once(':').filter(|(scheme, _)| {
        let scheme = scheme.chars().filter(|char| !is_nothing(*char));
        let scheme = scheme.take(8).collect::<String>().to_ascii_lowercase();
        ["http", "https", "ws", "wss", "ftp", "file"].contains(&scheme.as_str())
    });
    let rest = match scheme {
        Some((_, rest)) => rest,
        None => {
            let mut chars = text.chars().filter(|char| !is_nothing(*char));
            match chars
                .by_ref()
                .take(2)
                .filter(|char| is_slash(*char))
                .count()
            {
                2 => text,
                _ => return "",
            }
        }
    };
    let authority =
        authority_of(rest.trim_start_matches(|char| is_slash(char) || is_nothing(char)));
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

fn authority_of(text: &str) -> &str {
    text.split(['/', '\\', '?', '#']).next().unwrap_or_default()
}

fn is_too_long(host: &str) -> bool {
    let escapes = host.matches('%').count();
    let is_plain = host.is_ascii() && escapes == 0 && !host.to_ascii_lowercase().contains("xn--");
    !is_plain && host.len().saturating_sub(2 * escapes) > UNICODE_HOST_MAX_BYTES
}

fn parts(ctx: &Ctx<'_>, url: &Url) -> rquickjs::Result<Vec<String>> {
    let length = url.as_str().len();
    if length > HREF_MAX_BYTES {
        let error = format!(
            "URL: an address of {length} characters, and none may have more than {HREF_MAX_BYTES}"
        );
        return Err(Exception::throw_range(ctx, &error));
    }
    let parts = [
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
    .map(str::to_owned);
    Ok(parts.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_wherever_the_parser_finds_one() {
        let host = "漢".repeat(400);
        for text in [
            "http://HOST/",
            " \u{1f}hTTps:HOST?x",
            "ht\ntp:/\t/HOST",
            "ws:\\\\a:b@c@HOST#x",
            "file://HOST/x",
            "//HOST:80/x",
            "\t/\n\\HOST",
        ] {
            assert!(is_too_long(host_of(&text.replace("HOST", &host))), "{text}");
            assert!(
                !is_too_long(host_of(&text.replace("HOST", "漢字"))),
                "{text}"
            );
        }
        for text in [
            "HOST",
            "/HOST",
            "data:,HOST",
            "http://a/HOST",
            "http://a?HOST",
            "http://HOST@a/",
            "x://HOST/",
        ] {
            assert!(
                !is_too_long(host_of(&text.replace("HOST", &host))),
                "{text}"
            );
        }
        for (host, expected) in [
            ("a".repeat(30_000), false),
            ("%e6%bc%a2".repeat(340), false),
            ("%e6%bc%a2".repeat(350), true),
            (format!("XN--{}", "a".repeat(1100)), true),
        ] {
            assert_eq!(is_too_long(&host), expected, "{}", host.len());
        }
    }
}
