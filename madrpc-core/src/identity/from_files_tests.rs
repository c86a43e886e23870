//! Identities from files: one that works, and each fault as one line.

use super::handshake_tests::{Outcome, authority, client, expired};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn of(identity: &Identity) -> Self {
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::write(files.path("ca.pem"), identity.ca_pem().unwrap()).unwrap();
        fs::write(files.path("cert.pem"), identity.cert_pem().unwrap()).unwrap();
        files.write_key(&identity.key_pem().unwrap());
        files
    }

    fn write_key(&self, pem: &[u8]) {
        let path = self.path("key.pem");
        fs::write(&path, pem).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self) -> Result<Identity, IdentityError> {
        Identity::from_files(
            &self.path("ca.pem"),
            &self.path("cert.pem"),
            &self.path("key.pem"),
        )
    }
}

#[test]
fn what_was_written_reads_back_and_connects() {
    let ca = authority();
    let node = Files::of(&ca.issue(Role::Node).unwrap()).load().unwrap();
    assert_eq!(node.role(), Some(Role::Node));
    let outcome = Outcome::of(
        node.server_config().unwrap(),
        client(&ca, Role::Client),
        Role::Node.server_name(),
    );
    assert!(outcome.accepted());
}

#[test]
fn each_fault_is_one_line_that_names_its_file() {
    let ca = authority();
    let fault = |break_it: &dyn Fn(&Files)| {
        let files = Files::of(&ca.issue(Role::Node).unwrap());
        break_it(&files);
        let message = files.load().unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message.replace(&files.dir.path().display().to_string(), "DIR")
    };
    let other_ca = fault(&|files| {
        let stranger = authority().issue(Role::Node).unwrap();
        fs::write(files.path("ca.pem"), stranger.ca_pem().unwrap()).unwrap();
    });
    assert_eq!(
        other_ca,
        "the certificate DIR/cert.pem is not issued by DIR/ca.pem (unable to get local issuer certificate): \
         give the authority that issued it"
    );
    let other_key = fault(&|files| {
        files.write_key(&ca.issue(Role::Node).unwrap().key_pem().unwrap());
    });
    assert_eq!(
        other_key,
        "the key DIR/key.pem does not belong to the certificate DIR/cert.pem: \
         give the two that were issued together"
    );
    let swapped = fault(&|files| {
        fs::copy(files.path("key.pem"), files.path("cert.pem")).unwrap();
    });
    assert!(
        swapped.starts_with("DIR/cert.pem holds no certificate in PEM"),
        "{swapped}"
    );
    let missing = fault(&|files| fs::remove_file(files.path("key.pem")).unwrap());
    assert!(
        missing.starts_with("cannot read DIR/key.pem: "),
        "{missing}"
    );
    let open = fault(&|files| {
        let readable = fs::Permissions::from_mode(0o644);
        fs::set_permissions(files.path("key.pem"), readable).unwrap();
    });
    assert!(
        open.contains("mode 0644") && open.ends_with("chmod 600 DIR/key.pem"),
        "{open}"
    );
}

#[test]
fn an_expired_certificate_is_refused() {
    let files = Files::of(&expired(&authority(), Role::Node));
    let error = files.load().unwrap_err();
    assert!(
        matches!(&error, IdentityError::NotValidNow { path, .. } if *path == files.path("cert.pem")),
        "{error}"
    );
}
