"""Rows as Markdown and CSV, and their place in the documents."""
import csv
import io
import re


def cell(value, digits):
    return "" if value is None else value if isinstance(value, str) else f"{value:.{digits}f}"


def markdown(rows, columns):
    """`columns`: (key, title, digits). A column that no row has is left out."""
    columns = [c for c in columns if any(r.get(c[0]) not in (None, "") for r in rows)]
    lines = ["| " + " | ".join(c[1] for c in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(r.get(key), digits) for key, _, digits in columns) + " |" for r in rows]
    return "\n".join(lines) + "\n"


def to_csv(rows):
    """Every key of any row is a column, in the order of appearance."""
    names = list(dict.fromkeys(k for r in rows for k in r))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.5g}" if isinstance(v, float) else "" if v is None else v for k, v in r.items()}
                     for r in rows)
    return out.getvalue()


def replace_section(text, name, body):
    """`text` with what stands between `<!-- NAME begin -->` and `<!-- NAME end -->` replaced by `body`."""
    pattern = re.compile(rf"(<!-- {re.escape(name)} begin[^\n]*-->\n).*?(<!-- {re.escape(name)} end -->)", re.S)
    if not pattern.search(text):
        raise ValueError(f"the document has no section between '<!-- {name} begin -->' and '<!-- {name} end -->'")
    return pattern.sub(lambda m: m.group(1) + body.rstrip("\n") + "\n" + m.group(2), text)
