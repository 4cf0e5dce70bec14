//! The plain path: a first rollout, a second one that moves nothing, a change, its way back.

use gitsync_lab::Spec;

use crate::stage::Stage;

#[test]
fn a_rollout_over_ssh_serves_and_a_second_one_moves_nothing() {
    let Some(stage) = Stage::new("basics", &Spec::of(2, |host| host.docker())) else { return };
    let [one, two] = ["1", "2"].map(|version| stage.app.image(version));
    stage.load_images(&["h1", "h2"], &[("app:1", &one), ("app:2", &two)]);
    stage.write(
        "services/web.yaml",
        "image: app:1\nplacement: { on: all }\nports: { web: \"8080:80\" }\nhealth: { http: /, port: web }\n\
         stop_grace: 2s\n",
    );
    stage.commit("web");
    stage.apply();
    assert_eq!([stage.version("h1", 8080), stage.version("h2", 8080)], ["1", "1"]);
    stage.run(&["apply", "--yes"]).exits(0).says("0 to create, 0 to change, 0 to remove");
    stage.edit("services/web.yaml", "app:1", "app:2");
    stage.commit("web 2");
    let daemon = stage.daemon();
    daemon.wait_for(0, "converged", std::time::Duration::from_secs(60));
    assert_eq!([stage.version("h1", 8080), stage.version("h2", 8080)], ["2", "2"]);
    assert_eq!(daemon.stop(), Some(0));
}
