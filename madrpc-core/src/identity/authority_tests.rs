//! How processes come to one authority, what it issues, and which files it refuses.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn all_who_start_at_once_get_the_same_authority() {
    const STARTERS: usize = 8;
    let parent = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let dir = parent.path().join(format!("{round}/tls"));
        let barrier = Barrier::new(STARTERS);
        let found: Vec<Authority> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..STARTERS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        Authority::load_or_create(&dir).unwrap()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let first = found[0].certificate.to_der().unwrap();
        for authority in &found {
            assert_eq!(authority.certificate.to_der().unwrap(), first);
            assert!(authority.key.public_eq(&found[0].key));
        }
        assert_eq!(mode(&dir), 0o700);
        for name in [CERTIFICATE, KEY, LOCK] {
            assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 3);
    }
}

#[test]
fn a_creator_that_died_half_way_is_finished_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let before = Authority::load_or_create(dir.path()).unwrap();
    let identity = before.issue(Role::Node).unwrap();
    fs::remove_file(dir.path().join(CERTIFICATE)).unwrap();

    let after = Authority::load_or_create(dir.path()).unwrap();
    assert!(after.key.public_eq(&before.key));
    // What was issued before is still of this authority.
    let path = Path::new("-");
    super::super::verify(&[after.certificate], identity.leaf(), &[], (path, path)).unwrap();
}

#[test]
fn a_lost_key_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    Authority::load_or_create(dir.path()).unwrap();
    fs::remove_file(dir.path().join(KEY)).unwrap();
    let error = Authority::load_or_create(dir.path()).err().unwrap();
    assert!(
        matches!(error, IdentityError::HalfAuthority { .. }),
        "{error}"
    );
    assert!(!dir.path().join(KEY).exists());
}

#[test]
fn what_others_can_touch_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Authority::load_or_create(dir.path()).unwrap();
    let key = dir.path().join(KEY);

    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Authority::load_or_create(dir.path()).err().unwrap();
    assert!(
        matches!(error, IdentityError::ExposedKey { mode: 0o640, .. }),
        "{error}"
    );

    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o775)).unwrap();
    let error = Authority::load_or_create(dir.path()).err().unwrap();
    assert!(
        matches!(error, IdentityError::ExposedDirectory { mode: 0o775, .. }),
        "{error}"
    );
}

#[test]
fn a_key_of_another_authority_is_noticed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Authority::load_or_create(one.path()).unwrap();
    Authority::load_or_create(other.path()).unwrap();
    fs::copy(other.path().join(KEY), one.path().join(KEY)).unwrap();
    let error = Authority::load(one.path()).err().unwrap();
    assert!(
        matches!(error, IdentityError::KeyMismatch { .. }),
        "{error}"
    );
}

/// In DER (RFC 5280, sections 4.2.1.9 and 4.2.1.12): a CA with no CA below it, and two purposes.
const CA_PATHLEN_0: [u8; 8] = [0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00];
const SERVER_AUTH: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

fn says(certificate: &X509Ref, part: [u8; 8]) -> bool {
    certificate
        .to_der()
        .unwrap()
        .windows(8)
        .any(|window| window == part)
}

#[test]
fn certificates_say_what_their_owner_may_do_and_for_how_long() {
    let authority = Authority::create("some cluster").unwrap();
    let ca = &authority.certificate;
    assert!(says(ca, CA_PATHLEN_0));
    let lifetime = ca.not_before().diff(ca.not_after()).unwrap();
    assert_eq!((lifetime.days, lifetime.secs), (3650, 3600));

    for role in Role::ALL {
        let identity = authority.issue(role).unwrap();
        let leaf = identity.leaf();
        assert!(!says(leaf, CA_PATHLEN_0));
        assert!(says(leaf, CLIENT_AUTH), "{role}");
        assert_eq!(says(leaf, SERVER_AUTH), role.is_server(), "{role}");
        assert_eq!(super::super::dns_names(leaf), role.dns_names());
        assert!(leaf.not_after() == ca.not_after());
        assert!(leaf.serial_number().to_bn().unwrap().num_bits() > 64);
    }
}

#[test]
fn a_missing_directory_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let error = Authority::load(&dir.path().join("none"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with("cannot read ") && error.contains("none: "),
        "{error}"
    );
}
