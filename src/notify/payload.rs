//! A status line as each receiver takes it.

use super::Target;
use super::pagerduty::pagerduty;
use super::template;
use crate::config::WebhookFormat;
use crate::model::status::{Status, StatusLine};
use serde_json::json;

/// Returns the body of the request: what the template makes of the line, else JSON, whatever the format. `None` for a line
/// that the receiver has nothing to do with.
///
/// # Errors
/// The line cannot be written so, in words.
pub(super) fn body(target: &Target, line: &StatusLine) -> Result<Option<Vec<u8>>, String> {
    if let Some(template) = &target.template {
        return template::render(template, line).map(Some);
    }
    let document = match (target.format, &target.routing_key) {
        (WebhookFormat::Pagerduty, routing_key) => match pagerduty(routing_key.as_deref().unwrap_or_default(), line) {
            Some(event) => event,
            None => return Ok(None),
        },
        (WebhookFormat::Slack, _) => slack(line),
        (WebhookFormat::Teams, _) => teams(line),
        (WebhookFormat::Json, _) => return serde_json::to_vec(line).map(Some).map_err(|error| error.to_string()),
    };
    serde_json::to_vec(&document).map(Some).map_err(|error| error.to_string())
}

/// Slack's incoming webhook: a text in which `&`, `<` and `>` are escaped, and nothing is markup.
fn slack(line: &StatusLine) -> serde_json::Value {
    let text = line.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": text, "mrkdwn": false })
}

/// A workflow of Teams, which takes an Adaptive Card in a message. Its plain text blocks read Markdown; a run of text
/// does not.
fn teams(line: &StatusLine) -> serde_json::Value {
    let color = match line.status {
        Status::Failed | Status::StepFailed | Status::Refused | Status::Drifted => "attention",
        Status::Overridden => "warning",
        Status::Done | Status::Thawed | Status::Passed | Status::Matched => "good",
        Status::Started | Status::Step | Status::Frozen => "default",
    };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.2",
                "body": [{
                    "type": "RichTextBlock",
                    "inlines": [{ "type": "TextRun", "text": line.text, "color": color }],
                }],
            },
        }],
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::status::STATUS_SCHEMA_VERSION;

    pub(in super::super) fn line(text: &str) -> StatusLine {
        StatusLine {
            schema_version: STATUS_SCHEMA_VERSION,
            event: "rollback",
            status: Status::Step,
            at: "2026-11-20T22:00:00Z".parse().unwrap(),
            application: "shop".to_owned(),
            environment: "production".to_owned(),
            release: None,
            undone: None,
            back_to: None,
            version: None,
            exit_code: None,
            codes: Vec::new(),
            by: None,
            step: Some(3),
            of: Some(7),
            action: None,
            owner: None,
            estimate_seconds: Some(41.0),
            data_loss_from: None,
            reason: None,
            next: None,
            run_url: None,
            text: text.to_owned(),
        }
    }

    fn as_json(format: WebhookFormat, line: &StatusLine) -> serde_json::Value {
        let target = Target { format, ..Target::sample("http://h/") };
        serde_json::from_slice(&body(&target, line).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn our_own_document_has_every_fact_and_no_empty_ones() {
        assert_eq!(
            as_json(WebhookFormat::Json, &line("<x>")),
            json!({
                "schema_version": 1, "event": "rollback", "status": "step", "at": "2026-11-20T22:00:00Z",
                "application": "shop", "environment": "production", "step": 3, "of": 7, "estimate_seconds": 41.0,
                "text": "<x>"
            })
        );
    }

    #[test]
    fn chats_are_sent_nothing_that_they_take_for_markup() {
        let hostile = line("<!channel> *a* [x](https://evil.example) & b");
        assert_eq!(
            as_json(WebhookFormat::Slack, &hostile),
            json!({ "text": "&lt;!channel&gt; *a* [x](https://evil.example) &amp; b", "mrkdwn": false })
        );
        let card = as_json(WebhookFormat::Teams, &hostile);
        let block = &card["attachments"][0]["content"]["body"][0];
        assert_eq!((card["type"].as_str(), block["type"].as_str()), (Some("message"), Some("RichTextBlock")));
        assert_eq!(block["inlines"][0], json!({ "type": "TextRun", "text": hostile.text, "color": "default" }));
    }
}
