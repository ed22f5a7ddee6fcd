//! docs/json.md, read: its tables, and whether an object is what one of them says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// A key of a table.
pub(crate) struct Key {
    name: String,
    kind: String,
    is_optional: bool,
    or_null: bool,
}

/// A table of keys.
pub(crate) struct Table {
    /// Its heading.
    pub(crate) heading: String,
    /// `type` and `verb` of the lines that it describes; for an object inside a line its name and nothing.
    kind: String,
    verb: Option<String>,
    is_object: bool,
    keys: Vec<Key>,
}

/// The document, and what of it has been seen.
pub(crate) struct Document {
    pub(crate) tables: Vec<Table>,
    seen: BTreeSet<(String, String)>,
}

/// What stands between backticks.
fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

impl Table {
    fn new(heading: &str) -> Option<Self> {
        let names = code(heading);
        let kind = names.first()?.clone();
        // `progress` of `call` carries its verb, too.
        let verb = names.get(1).cloned();
        let is_object = heading.starts_with("Object ");
        Some(Self { heading: heading.to_owned(), kind, verb, is_object, keys: Vec::new() })
    }

    fn describes(&self, line: &Map<String, Value>) -> bool {
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        // Every table with that type is tried, since several verbs have lines of one type.
        !self.is_object && text("type") == Some(&self.kind) && text("verb") == self.verb.as_deref()
    }
}

impl Document {
    /// Reads the document.
    pub(crate) fn parse(text: &str) -> Self {
        let mut tables: Vec<Table> = Vec::new();
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("### ") {
                let table = Table::new(heading);
                tables.push(table.unwrap_or_else(|| panic!("a heading without a type: {heading}")));
            } else if line.starts_with("## ") {
                continue;
            } else if let Some(row) = line.strip_prefix("| ").filter(|r| !r.starts_with("key |")) {
                let cells: Vec<&str> = row.trim_end_matches('|').splitn(3, '|').map(str::trim).collect();
                let [name, kind, meaning] = cells[..] else { panic!("three cells: {line}") };
                assert!(!meaning.is_empty(), "{line}");
                let (is_optional, or_null) = (kind.starts_with("optional "), kind.ends_with(" or null"));
                let kind = kind.trim_start_matches("optional ").trim_end_matches(" or null").to_owned();
                let table = tables.last_mut().expect("a heading before a table");
                table.keys.push(Key { name: name.to_owned(), kind, is_optional, or_null });
            }
        }
        Self { tables, seen: BTreeSet::new() }
    }

    /// Checks a line of the program; panics if no table describes it.
    pub(crate) fn check(&mut self, line: &Value) {
        let object = line.as_object().expect("an object");
        let mut faults = BTreeMap::new();
        for table in self.tables.iter().filter(|t| t.describes(object)) {
            match self.fits(table, object) {
                Ok(seen) => {
                    self.seen.extend(seen);
                    return;
                }
                Err(fault) => _ = faults.insert(table.heading.clone(), fault),
            }
        }
        panic!("no table of docs/json.md describes {line}: {faults:?}");
    }

    /// The keys that were seen, if the object is what the table says.
    fn fits(&self, table: &Table, object: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
        let mut seen = Vec::new();
        for (name, value) in object {
            if !table.is_object && (name == "type" || name == "verb") {
                continue;
            }
            let key = table.keys.iter().find(|k| k.name == *name);
            let key = key.ok_or_else(|| format!("{name} is not documented"))?;
            if value.is_null() {
                if !key.or_null {
                    return Err(format!("{name} is null"));
                }
            } else {
                seen.extend(self.has_type(&key.kind, value).map_err(|e| format!("{name}: {e}"))?);
            }
            seen.push((table.heading.clone(), name.clone()));
        }
        match table.keys.iter().find(|k| !k.is_optional && !object.contains_key(&k.name)) {
            Some(missing) => Err(format!("{} is missing", missing.name)),
            None => Ok(seen),
        }
    }

    fn has_type(&self, kind: &str, value: &Value) -> Result<Vec<(String, String)>, String> {
        let all = |values: Vec<&Value>, kind: &str| -> Result<Vec<_>, String> {
            let seen: Result<Vec<_>, String> = values.into_iter().map(|v| self.has_type(kind, v)).collect();
            Ok(seen?.concat())
        };
        let fits = match kind {
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            _ => {
                if let Some(inner) = kind.strip_prefix("array of ") {
                    let values = value.as_array().ok_or("no array")?;
                    return all(values.iter().collect(), inner);
                }
                if let Some(inner) = kind.strip_prefix("object of ") {
                    let values = value.as_object().ok_or("no object")?;
                    return all(values.values().collect(), inner);
                }
                let table = self.tables.iter().find(|t| t.is_object && t.kind == kind);
                let table = table.unwrap_or_else(|| panic!("docs/json.md has no type {kind}"));
                return self.fits(table, value.as_object().ok_or("no object")?);
            }
        };
        if fits { Ok(Vec::new()) } else { Err(format!("{value} is no {kind}")) }
    }

    /// The documented keys that no line had, without the tables that cannot be run here.
    pub(crate) fn unseen(&self, without: &[&str]) -> Vec<String> {
        let tables = self.tables.iter().filter(|t| !without.contains(&t.heading.as_str()));
        let keys = tables.flat_map(|t| t.keys.iter().map(move |k| (t.heading.clone(), k.name.clone())));
        keys.filter(|key| !self.seen.contains(key)).map(|(table, key)| format!("{table}: {key}")).collect()
    }
}
