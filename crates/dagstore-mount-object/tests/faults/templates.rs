//! What a template brings to the mounts of its scheme.

use dagstore_mount::{Error, MountUrl, Registry};
use dagstore_mount_object::{Access, ObjectMount};

use crate::support::{LOCATION, Server, content, s3, stream};

#[tokio::test]
async fn fault_41_each_scheme_keeps_the_endpoint_of_its_template() {
    let (near, far) = (content(1000), content(2000).slice(500..));
    let (near_server, far_server) = (Server::good(&near).await, Server::good(&far).await);
    let mut registry = Registry::with_defaults();
    for (scheme, server, token) in [("near", &near_server, "near-id"), ("far", &far_server, "far-id")] {
        let secrets = move |_: &str| Some(token.to_owned());
        let template = s3(server, Access::named("KEYS")).region(format!("{scheme}-1")).secrets(secrets);
        registry.register(scheme, template.build().unwrap()).unwrap();
    }
    for (scheme, server, content) in [("near", &near_server, &near), ("far", &far_server, &far)] {
        let template = registry.template::<ObjectMount>(scheme).unwrap();
        let mount = template.try_map(|template| template.at(LOCATION)).unwrap();
        // What is kept of it, and what comes back of that.
        let url = registry.represent(&mount).unwrap();
        assert_eq!(url.as_str(), format!("{scheme}:{LOCATION}"));
        let revived = registry.instantiate(&MountUrl::parse(url.as_str()).unwrap()).unwrap();
        for mount in [&*revived, &mount] {
            let read = stream(mount, 0, None).await;
            let read = read.map_err(|error: Error| error.to_string()).map(|read| read == *content);
            assert_eq!(read, Ok(true), "{scheme} reads from another endpoint");
        }
        for request in server.requests() {
            let sent = request.header("authorization").unwrap();
            let is_its_own =
                sent.contains(&format!("Credential={scheme}-id/")) && sent.contains(&format!("/{scheme}-1/s3/"));
            assert!(is_its_own, "{scheme}: {sent}");
        }
    }
}
