//! Settings of the whole instance.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{Answer, Call, broken, error, nothing};
use crate::common::http::Response;
use crate::gitlab::state::{default_settings, settings};

pub fn handle(call: &Call<'_>) -> Answer {
    call.admin()?;
    match call.method {
        "GET" => Ok(Response::json(200, &Value::Object(call.app.store.read(|state| settings(&state.settings))))),
        "PUT" => update(call),
        _ => Err(nothing()),
    }
}

fn update(call: &Call<'_>) -> Answer {
    let known = default_settings();
    let mut changes = Map::new();
    for (name, value) in call.parameters.iter().filter(|(name, _)| *name != "id") {
        // What is not known is passed over, as GitLab does.
        let Some(default) = known.get(name) else { continue };
        let fits = match default {
            Value::Bool(_) => value.is_boolean(),
            Value::Number(_) => value.is_u64(),
            Value::Array(_) => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            _ => true,
        };
        if !fits {
            return Err(error(400, &format!("{name} is invalid")));
        }
        changes.insert(name.clone(), value.clone());
    }
    if changes.is_empty() {
        return Err(error(400, "at least one parameter must be provided"));
    }
    let all = call.app.store.change(|state| {
        let before = state.settings.clone();
        state.settings.extend(changes);
        if before != state.settings {
            state.settings_before = Some((OffsetDateTime::now_utc().unix_timestamp(), before));
        }
        settings(&state.settings)
    });
    Ok(Response::json(200, &Value::Object(all.map_err(broken)?)))
}
