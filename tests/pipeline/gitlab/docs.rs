//! The pieces of `docs/ci/gitlab.md` are pipelines.

use super::project::Project;
use super::tools::read;
use crate::support::version_server::{Answer, VersionServer};

/// Returns the YAML in the page, each piece with what it begins with.
fn pieces() -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece: Option<(usize, String)> = None;
    for line in read("docs/ci/gitlab.md").lines() {
        let indent = line.len() - line.trim_start().len();
        match (&mut piece, line.trim()) {
            (None, "```yaml") => piece = Some((indent, String::new())),
            (Some(_), "```") => pieces.extend(piece.take().map(|(_, text)| text)),
            (Some((indent, text)), _) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            _ => {}
        }
    }
    pieces
}

#[test]
fn every_piece_can_be_put_into_a_pipeline() {
    let pieces: Vec<_> = pieces().into_iter().filter(|piece| !piece.contains("- project:")).collect();
    assert!(pieces.len() >= 5, "{pieces:?}");
    for piece in pieces {
        let project = Project::with(|project| {
            // Most are for a pipeline that includes the template already.
            let base = "stages: [build, deploy]\ninclude:\n  - local: gitlab-template.yml\n    inputs: { environment: production }\n  \
                        - local: base.yml\n  - local: piece.yml\n";
            project.write(
                "base.yml",
                "build: { stage: build, script: ['true'] }\ndeploy: { extends: .holdpoint:admit, script: ['true'] }\n",
            );
            project.write("piece.yml", &piece);
            project.write(".gitlab-ci.yml", if piece.contains("include:") { piece.as_str() } else { base });
        });
        let ended = project.run(&["--list-all"]).expect(true);
        ended.says(&["holdpoint:gate", "holdpoint:rollback"]);
    }
}

#[test]
fn the_template_can_be_included_from_elsewhere() {
    let server = VersionServer::start([Answer::html(&read("gitlab-template.yml"))]);
    let project = Project::with(|project| {
        let remote = format!("- remote: {}", server.url("/gitlab-template.yml"));
        project.replace(".gitlab-ci.yml", "- local: gitlab-template.yml", &remote);
        std::fs::remove_file(project.path("gitlab-template.yml")).unwrap();
    });
    project.run(&["holdpoint:gate"]).expect(true);
    assert_eq!(project.manifest()["state"], "passed");
}
