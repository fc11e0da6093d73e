//! A body of the user's own: a handlebars template over the members of a status line.

use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason};
use serde::Serialize;

/// Renders a template. What a member holds is escaped as in a JSON string; `{{json member}}` writes a whole value.
///
/// # Errors
/// What is wrong with the template, in words; it quotes nothing of the line.
pub(super) fn render(template: &str, line: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut handlebars = Handlebars::new();
    handlebars.register_escape_fn(in_a_string);
    handlebars.register_helper("json", Box::new(json));
    let rendered = handlebars.render_template(template, line);
    rendered.map(String::into_bytes).map_err(|error| format!("its template cannot be used: {}", error.reason()))
}

/// Escapes a text for the inside of a JSON string.
fn in_a_string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

fn json(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("json", 0))?;
    out.write(&value.value().to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::payload::tests::line;
    use super::*;

    fn rendered(template: &str, text: &str) -> String {
        String::from_utf8(render(template, &line(text)).unwrap()).unwrap()
    }

    #[test]
    fn a_member_stays_inside_of_its_string() {
        let body =
            rendered(r#"{"msg": "{{text}}", "env": {{json environment}}, "all": {{json this}}}"#, "a \"b\"\n{c}");
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&value["msg"], &value["env"]), (&"a \"b\"\n{c}".into(), &"production".into()));
        assert_eq!(value["all"]["of"], 7);
    }

    #[test]
    fn members_that_do_not_apply_are_empty() {
        assert_eq!(rendered("[{{owner}}]{{#if reason}}x{{else}}y{{/if}} {{json owner}}", ""), "[]y null");
    }

    #[test]
    fn a_template_that_is_none_is_said() {
        let error = render("{{#if}", &line("secret")).unwrap_err();
        assert!(error.starts_with("its template cannot be used: ") && !error.contains("secret"), "{error}");
    }
}
