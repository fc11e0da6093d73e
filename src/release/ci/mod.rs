//! What a CI system tells about its run, by its environment variables.
//!
//! The systems are data ([`systems`]). `CI=true` alone says nothing about where the facts are, and detects none.

mod systems;

use super::address::without_user_information;
use super::version::is_commit;
use crate::model::manifest::Pipeline;
use std::path::PathBuf;
use systems::SYSTEMS;

/// Looks up an environment variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a CI system tells about its run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CiRun {
    /// What goes into the manifest.
    pub pipeline: Pipeline,
    /// The commit, in full.
    pub commit: Option<String>,
    /// The branch, tag or other reference, without `refs/heads/` or `refs/tags/`.
    pub reference: Option<String>,
    /// The tag, where the run is for one.
    pub tag: Option<String>,
    /// The environment that the run deploys to, as the CI system names it.
    pub environment: Option<String>,
    /// What names the run and its attempt, the same for all jobs of it and for no other, such as `github:acme/shop:7:2`.
    pub run: Option<String>,
    /// The directory that dies with the runner.
    pub workspace: Option<PathBuf>,
}

/// Returns what the CI system around this process tells; `None` if none is known by its variables.
///
/// Empty variables count as unset. A commit that is not one, such as Buildkite's `HEAD`, is left out.
pub fn detect(variables: Variables<'_>) -> Option<CiRun> {
    let value = |name: &str| variables(name).filter(|value| !value.trim().is_empty());
    let is_there = |(name, wanted): &(&str, Option<&str>)| {
        value(name).is_some_and(|value| wanted.map_or(!value.eq_ignore_ascii_case("false"), |wanted| value == wanted))
    };
    let system = SYSTEMS.iter().find(|system| system.detect.iter().all(is_there))?;
    let fact = |templates: &[&str]| templates.iter().find_map(|template| fill(template, &value));

    let full_reference = fact(system.reference);
    let tag_of_reference = full_reference.as_deref().and_then(|full| full.strip_prefix("refs/tags/"));
    let tag = fact(system.tag).or_else(|| tag_of_reference.map(str::to_owned));
    let reference = full_reference.map(|full| {
        let short = full.strip_prefix("refs/heads/").or_else(|| full.strip_prefix("refs/tags/"));
        short.map_or_else(|| full.clone(), str::to_owned)
    });
    Some(CiRun {
        pipeline: Pipeline {
            system: Some(system.name.to_owned()),
            // The name of a project of Azure may have blanks.
            run_url: fact(system.run_url).map(|url| without_user_information(&url).replace(' ', "%20")),
            actor: fact(system.actor),
            attempt: fact(system.attempt),
            repository: fact(system.repository).map(|url| without_user_information(&url)),
        },
        commit: fact(system.commit).filter(|commit| is_commit(commit)).map(|commit| commit.to_ascii_lowercase()),
        reference: tag.clone().or(reference),
        tag,
        environment: fact(system.environment),
        run: fact(system.run).map(|run| format!("{}:{}", system.name, without_user_information(&run))),
        workspace: fact(system.workspace).map(|path| at_home(&path, &value)),
    })
}

/// Puts the values of variables into a template; `None` if one of them is not set.
fn fill(template: &str, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        filled.push_str(before);
        let value = value(name)?;
        // Gitea's URL of itself may end in a slash.
        filled.push_str(if after.starts_with('/') { value.trim().trim_end_matches('/') } else { value.trim() });
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

/// Resolves a leading `~`, as CircleCI writes it.
fn at_home(path: &str, value: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    match (path.strip_prefix('~'), value("HOME")) {
        (Some(below), Some(home)) if below.is_empty() || below.starts_with('/') => {
            PathBuf::from(home).join(below.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const SHA: &str = "3f9c2ab13f9c2ab13f9c2ab13f9c2ab13f9c2ab1";

    fn detected(variables: &[(&str, &str)]) -> Option<CiRun> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        detect(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    /// The facts of a run as text: system, commit, reference, tag, URL, actor, attempt, repository, environment, workspace.
    fn facts(variables: &[(&str, &str)]) -> [String; 10] {
        let run = detected(variables).unwrap();
        let workspace = run.workspace.map(|path| path.display().to_string());
        let pipeline = run.pipeline;
        [
            pipeline.system,
            run.commit,
            run.reference,
            run.tag,
            pipeline.run_url,
            pipeline.actor,
            pipeline.attempt,
            pipeline.repository,
            run.environment,
            workspace,
        ]
        .map(Option::unwrap_or_default)
    }

    #[test]
    fn nothing_is_detected_outside_of_known_systems() {
        assert_eq!(detected(&[]), None);
        assert_eq!(detected(&[("CI", "true"), ("CI_COMMIT_SHA", SHA)]), None);
        assert_eq!(detected(&[("GITHUB_ACTIONS", "")]), None);
        assert_eq!(detected(&[("GITHUB_ACTIONS", "false")]), None);
        assert_eq!(detected(&[("JENKINS_URL", "https://j")]), None);
    }

    #[test]
    fn github_and_its_likes_tell_their_facts() {
        let mut variables = vec![
            ("CI", "true"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SHA", SHA),
            ("GITHUB_REF", "refs/tags/v1.4.0"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "acme/shop"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_RUN_ATTEMPT", "2"),
            ("GITHUB_ACTOR", "ada"),
            ("GITHUB_WORKSPACE", "/w"),
        ];
        let expected = [
            "github",
            SHA,
            "v1.4.0",
            "v1.4.0",
            "https://github.com/acme/shop/actions/runs/7",
            "ada",
            "2",
            "https://github.com/acme/shop",
            "",
            "/w",
        ];
        assert_eq!(facts(&variables), expected);
        for (name, detected_by) in [("gitea", "GITEA_ACTIONS"), ("forgejo", "FORGEJO_ACTIONS")] {
            let mut of_it = variables.clone();
            of_it[4] = ("GITHUB_SERVER_URL", "https://git.acme.example/");
            of_it.extend([(detected_by, "true"), ("GITHUB_RUN_NUMBER", "3")]);
            let facts = facts(&of_it);
            let url = "https://git.acme.example/acme/shop";
            assert_eq!((facts[0].as_str(), facts[7].as_str()), (name, url));
            assert_eq!(facts[4], format!("{url}/actions/runs/3"));
            assert_eq!(detected(&of_it).unwrap().run.unwrap(), format!("{name}:acme/shop:7:2"));
        }
        variables[3] = ("GITHUB_REF", "refs/heads/feature/x");
        assert_eq!(facts(&variables)[2..4], ["feature/x", ""]);
        variables[3] = ("GITHUB_REF", "refs/pull/12/merge");
        assert_eq!(facts(&variables)[2..4], ["refs/pull/12/merge", ""]);
    }

    #[test]
    fn gitlab_and_woodpecker_are_told_apart() {
        let gitlab = [
            ("GITLAB_CI", "true"),
            ("CI_COMMIT_SHA", SHA),
            ("CI_COMMIT_REF_NAME", "main"),
            ("CI_COMMIT_TAG", ""),
            ("CI_JOB_URL", "https://gitlab.example/-/jobs/1"),
            ("GITLAB_USER_LOGIN", "ada"),
            ("CI_PROJECT_URL", "https://gitlab.example/acme/shop"),
            ("CI_ENVIRONMENT_NAME", "review/x"),
            ("CI_PROJECT_DIR", "/builds/acme/shop"),
        ];
        let url = "https://gitlab.example/-/jobs/1";
        let repository = "https://gitlab.example/acme/shop";
        let expected = ["gitlab", SHA, "main", "", url, "ada", "", repository, "review/x", "/builds/acme/shop"];
        assert_eq!(facts(&gitlab), expected);
        let woodpecker = [
            ("CI", "woodpecker"),
            ("CI_COMMIT_SHA", SHA),
            ("CI_COMMIT_TAG", "v2.0.0"),
            ("CI_PIPELINE_URL", "https://w/1"),
            ("CI_PIPELINE_DEPLOY_TARGET", "production"),
        ];
        let expected = ["woodpecker", SHA, "v2.0.0", "v2.0.0", "https://w/1", "", "", "", "production", ""];
        assert_eq!(facts(&woodpecker), expected);
    }

    #[test]
    fn a_run_has_one_name_for_all_its_jobs() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
        let cases: &[Case<'_>] = &[
            (
                &[
                    ("GITHUB_ACTIONS", "true"),
                    ("GITHUB_REPOSITORY", "acme/shop"),
                    ("GITHUB_RUN_ID", "7"),
                    ("GITHUB_RUN_ATTEMPT", "2"),
                ],
                Some("github:acme/shop:7:2"),
            ),
            (
                &[
                    ("GITHUB_ACTIONS", "true"),
                    ("GITEA_ACTIONS", "true"),
                    ("GITHUB_REPOSITORY", "a/b"),
                    ("GITHUB_RUN_ID", "7"),
                ],
                Some("gitea:a/b:7"),
            ),
            (
                &[
                    ("GITLAB_CI", "true"),
                    ("CI_PROJECT_PATH", "acme/shop"),
                    ("CI_PIPELINE_ID", "12"),
                    ("CI_JOB_ID", "99"),
                ],
                Some("gitlab:acme/shop:12"),
            ),
            (&[("GITLAB_CI", "true"), ("CI_JOB_ID", "99")], None),
            (
                &[
                    ("JENKINS_URL", "https://j"),
                    ("BUILD_ID", "5"),
                    ("BUILD_URL", "https://u:p@j/job/x/5/"),
                    ("BUILD_TAG", "jenkins-x-5"),
                ],
                Some("jenkins:https://j/job/x/5/"),
            ),
            (
                &[("JENKINS_URL", "https://j"), ("BUILD_ID", "5"), ("BUILD_TAG", "jenkins-x-5")],
                Some("jenkins:jenkins-x-5"),
            ),
            (&[("CIRCLECI", "true"), ("CIRCLE_WORKFLOW_ID", "a-b")], Some("circleci:a-b")),
            (
                &[
                    ("TF_BUILD", "True"),
                    ("SYSTEM_TEAMPROJECT", "My Shop"),
                    ("BUILD_BUILDID", "9"),
                    ("SYSTEM_STAGEATTEMPT", "2"),
                ],
                Some("azure:My Shop:9:2"),
            ),
            (&[("BUILDKITE", "true"), ("BUILDKITE_BUILD_ID", "u-1")], Some("buildkite:u-1")),
            (
                &[
                    ("BITBUCKET_COMMIT", SHA),
                    ("BITBUCKET_REPO_FULL_NAME", "acme/shop"),
                    ("BITBUCKET_BUILD_NUMBER", "3"),
                ],
                Some("bitbucket:acme/shop:3"),
            ),
            (&[("BITBUCKET_COMMIT", SHA), ("BITBUCKET_PIPELINE_UUID", "{u}")], Some("bitbucket:{u}")),
            (&[("DRONE", "true"), ("DRONE_REPO", "acme/shop"), ("DRONE_BUILD_NUMBER", "4")], Some("drone:acme/shop:4")),
            (
                &[("CI", "woodpecker"), ("CI_REPO", "acme/shop"), ("CI_PIPELINE_NUMBER", "6")],
                Some("woodpecker:acme/shop:6"),
            ),
            (&[("TEAMCITY_VERSION", "2025.1"), ("BUILD_URL", "https://t/build/8")], Some("teamcity:https://t/build/8")),
        ];
        for (variables, expected) in cases {
            assert_eq!(detected(variables).unwrap().run.as_deref(), *expected, "{variables:?}");
        }
    }

    #[test]
    fn the_other_systems_tell_their_facts() {
        type Case = (&'static [(&'static str, &'static str)], [&'static str; 10]);
        let cases: &[Case] = &[
            (
                &[
                    ("JENKINS_URL", "https://j/"),
                    ("BUILD_ID", "5"),
                    ("GIT_COMMIT", SHA),
                    ("GIT_BRANCH", "origin/main"),
                    ("BUILD_URL", "https://u:p@j/job/5/"),
                    ("GIT_URL", "https://u:p@git/shop.git"),
                    ("WORKSPACE", "/j/w"),
                ],
                ["jenkins", SHA, "origin/main", "", "https://j/job/5/", "", "", "https://git/shop.git", "", "/j/w"],
            ),
            (
                &[("JENKINS_URL", "https://j/"), ("BUILD_ID", "5"), ("CHANGE_ID", "12"), ("BRANCH_NAME", "MR-12")],
                ["jenkins", "", "PR-12", "", "", "", "", "", "", ""],
            ),
            (
                &[
                    ("CIRCLECI", "true"),
                    ("CIRCLE_SHA1", SHA),
                    ("CIRCLE_TAG", "v1.0.0"),
                    ("CIRCLE_BUILD_URL", "https://c/1"),
                    ("CIRCLE_USERNAME", "ada"),
                    ("CIRCLE_REPOSITORY_URL", "git@github.com:acme/shop.git"),
                    ("CIRCLE_WORKING_DIRECTORY", "~/project"),
                    ("HOME", "/home/ci"),
                ],
                [
                    "circleci",
                    SHA,
                    "v1.0.0",
                    "v1.0.0",
                    "https://c/1",
                    "ada",
                    "",
                    "github.com:acme/shop.git",
                    "",
                    "/home/ci/project",
                ],
            ),
            (
                &[
                    ("TF_BUILD", "True"),
                    ("BUILD_SOURCEVERSION", SHA),
                    ("BUILD_SOURCEBRANCH", "refs/tags/v3.0.0"),
                    ("SYSTEM_COLLECTIONURI", "https://dev.azure.com/acme/"),
                    ("SYSTEM_TEAMPROJECT", "shop"),
                    ("BUILD_BUILDID", "9"),
                    ("BUILD_REQUESTEDFOR", "Ada L"),
                    ("SYSTEM_STAGEATTEMPT", "1"),
                    ("ENVIRONMENT_NAME", "production"),
                    ("PIPELINE_WORKSPACE", "/a/1"),
                ],
                [
                    "azure",
                    SHA,
                    "v3.0.0",
                    "v3.0.0",
                    "https://dev.azure.com/acme/shop/_build/results?buildId=9",
                    "Ada L",
                    "1",
                    "",
                    "production",
                    "/a/1",
                ],
            ),
            (
                &[("BUILDKITE", "true"), ("BUILDKITE_COMMIT", "HEAD"), ("BUILDKITE_BRANCH", "main")],
                ["buildkite", "", "main", "", "", "", "", "", "", ""],
            ),
            (
                &[
                    ("BITBUCKET_COMMIT", SHA),
                    ("BITBUCKET_REPO_FULL_NAME", "acme/shop"),
                    ("BITBUCKET_BUILD_NUMBER", "3"),
                ],
                [
                    "bitbucket",
                    SHA,
                    "",
                    "",
                    "https://bitbucket.org/acme/shop/pipelines/results/3",
                    "",
                    "",
                    "https://bitbucket.org/acme/shop",
                    "",
                    "",
                ],
            ),
            (
                &[
                    ("DRONE", "true"),
                    ("DRONE_COMMIT_SHA", SHA),
                    ("DRONE_COMMIT_REF", "refs/heads/main"),
                    ("DRONE_DEPLOY_TO", "qa"),
                ],
                ["drone", SHA, "main", "", "", "", "", "", "qa", ""],
            ),
            (
                &[("TEAMCITY_VERSION", "2025.1"), ("BUILD_VCS_NUMBER", SHA), ("BUILD_URL", "https://t/1")],
                ["teamcity", SHA, "", "", "https://t/1", "", "", "", "", ""],
            ),
        ];
        for (variables, expected) in cases {
            assert_eq!(&facts(variables), expected);
        }
    }
}
