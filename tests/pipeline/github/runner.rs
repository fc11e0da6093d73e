//! The runner itself does what GitHub's does, as far as the action could notice.

use super::action::Action;

const SAMPLE: &str = r#"
name: sample
description: Everything at once
inputs:
  word:
    description: ""
    default: plain
outputs:
  last:
    description: ""
    value: ${{ steps.write.outputs.last }}
  none:
    description: ""
    value: ${{ steps.skipped.outputs.none || 'nothing' }}
runs:
  using: composite
  steps:
    - id: write
      shell: bash
      env:
        WORD: ${{ inputs.word }}
        ORIGIN: ${{ github.action_repository }}
      run: |
        echo "::add-mask::hush"
        echo "::group::a%0Ab"
        echo "::error title=x%3Ay::hush 100%25"
        echo "::set-output name=last::of the log"
        echo "  ::warning::hush"
        echo "said ##[set-output name=old;]also of the log"
        printf 'x\r::notice::after a carriage return\n' >&2
        echo "::stop-commands::token"
        echo "::set-output name=stopped::no"
        echo "::token::"
        echo "last=of the file" >>"$GITHUB_OUTPUT"
        printf 'many<<E\n1\n2\nE\n' >>"$GITHUB_OUTPUT"
        echo "LATER=$WORD" >>"$GITHUB_ENV"
        echo "/sample/bin" >>"$GITHUB_PATH"
        echo "summary of hush" >>"$GITHUB_STEP_SUMMARY"
        echo "origin=$ORIGIN,${GITHUB_ACTION_REPOSITORY-unset},${INPUT_WORD-unset}" >>"$GITHUB_OUTPUT"
    - id: read
      if: env.LATER == 'plain'
      shell: bash
      run: |
        echo "path=${PATH%%:*}" >>"$GITHUB_OUTPUT"
        false | true
        echo "unreached=yes" >>"$GITHUB_OUTPUT"
    - id: skipped
      shell: bash
      run: exit 0
    - id: always
      if: always()
      shell: bash
      run: echo 'no entry' >>"$GITHUB_OUTPUT"
    - id: failure
      if: failure()
      shell: sh
      run: exit 0
"#;

#[test]
fn steps_conditions_commands_and_files_are_those_of_a_composite_action() {
    let mut action = Action::new();
    let job = action.without("environment").without("release").without("commit").without("store").sample(SAMPLE).run();
    let step = |id: &str| job.step(id).clone();
    let conclusions = ["write", "read", "skipped", "always", "failure"].map(|id| step(id)["conclusion"].clone());
    assert_eq!(conclusions, ["success", "failure", "skipped", "failure", "success"], "{:#}", job.0);
    assert_eq!(job.0["conclusion"], "failure");
    let outputs = &step("write")["outputs"];
    assert_eq!(outputs["last"], "of the file", "the file rules over the log");
    assert_eq!(outputs["old"], "also of the log");
    assert_eq!(outputs["many"], "1\n2");
    assert!(outputs.get("stopped").is_none());
    assert_eq!(outputs["origin"], "acme/holdpoint,unset,unset");
    // A pipe that fails ends the script.
    assert_eq!(step("read")["outputs"], serde_json::json!({ "path": "/sample/bin" }));
    assert_eq!((job.output("last"), job.output("none")), ("of the file", "nothing"));
    let first = job.0["annotations"].as_array().unwrap().iter().find(|one| one["level"] == "error").unwrap();
    assert_eq!((&first["message"], &first["title"]), (&"*** 100%".into(), &"x:y".into()));
    assert_eq!(job.annotations("warning"), ["***"]);
    assert_eq!(job.annotations("notice"), ["after a carriage return"]);
    assert!(job.annotations("error").iter().any(|message| message.contains("no entry")), "a bad file fails its step");
    assert_eq!(job.0["groups"], serde_json::json!(["a\nb"]));
    assert_eq!(job.0["summary"], serde_json::json!(["summary of ***"]));
    assert!(!job.log().contains("said ##["), "{}", job.log());
}

#[test]
fn the_parser_refuses_what_github_refuses() {
    for (from, to) in [("shell: sh", "shel: sh"), ("inputs.word", "secrets.word"), ("always()", "never()")] {
        let action = {
            let mut action = Action::new();
            action.sample(&SAMPLE.replace(from, to));
            action
        };
        let error = action.start().fails();
        assert!(error.contains(to.split(['.', ':', '(']).next().unwrap()), "{error}");
    }
}
