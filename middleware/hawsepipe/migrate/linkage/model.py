"""The statistical model: splink 5 on DuckDB (the extra `linkage`), with fixed weights, so that the same records always
give the same scores.

The weights (Fellegi and Sunter 1969) are of the literature's usual order. splink finds the pairs that are worth being
compared and scores them; what is done with a score is for `rules` to say.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from hawsepipe.errors import ConfigError
from hawsepipe.migrate.linkage.people import Person

PRIOR: Final = 1e-4
"""The chance that two records of a block are one person before anything is compared."""

_COLUMNS: Final = ("given", "family", "born", "sex", "phone", "email", "street", "postcode", "identifiers")
_BLOCKS: Final = (
    ("born", "family"), ("born", "given"), ("family", "given"), ("born", "postcode"), ("phone", "given"), ("email",),
    ("phone", "born"), ("postcode", "street", "given"),
)  # fmt: skip
_EXCHANGED: Final = "l.given = r.family AND l.family = r.given AND l.born = r.born"


def scored(people: Sequence[Person], least: float) -> list[tuple[str, str, float]]:
    """Return pairs of ids with a probability of at least `least`, each once. Raises ConfigError without the extra."""
    try:
        import duckdb
        from splink import Linker, block_on
        from splink.backends.duckdb import DuckDBAPI
        from splink.blocking_rule_library import CustomRule
    except ImportError as error:
        raise ConfigError("linkage", "pip install 'hawsepipe[linkage]' brings what it needs") from error
    logging.getLogger("splink").setLevel(logging.ERROR)
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            "CREATE TABLE person (unique_id VARCHAR, given VARCHAR, family VARCHAR, born VARCHAR, sex VARCHAR,"
            " phone VARCHAR, email VARCHAR, street VARCHAR, postcode VARCHAR, identifiers VARCHAR[])"
        )
        columns = [list(column) for column in zip(*((*it[:9], list(it.identifiers)) for it in people), strict=True)]
        connection.execute(f"INSERT INTO person SELECT {', '.join(['unnest(?)'] * 10)}", columns)
        api = DuckDBAPI(connection)
        rules = [block_on(*columns) for columns in _BLOCKS]
        rules += [block_on("identifiers", arrays_to_explode=["identifiers"]), CustomRule(_EXCHANGED)]
        settings: dict[str, Any] = {
            "link_type": "dedupe_only",
            "probability_two_random_records_match": PRIOR,
            "comparisons": _comparisons(),
            "blocking_rules_to_generate_predictions": rules,
            "retain_matching_columns": False,
            "retain_intermediate_calculation_columns": False,
        }
        linker = Linker(api.register("person"), settings, log_level=logging.ERROR)
        found = linker.inference.predict(threshold_match_probability=least)
        rows = found.as_record_list()
    return [(*sorted((row["unique_id_l"], row["unique_id_r"])), float(row["match_probability"])) for row in rows]


def _comparisons() -> list[dict[str, Any]]:
    jaro = "jaro_winkler_similarity({0}_l, {0}_r) >= {1}"
    exchanged = "given_l = family_r AND family_l = given_r"
    return [
        _compared("given", ("exact", "given_l = given_r", 0.9, 0.004), ("exchanged", exchanged, 0.02, 0.0001),
                  ("close", jaro.format("given", 0.88), 0.06, 0.01)),
        _compared("family", ("exact", "family_l = family_r", 0.91, 0.001), ("exchanged", exchanged, 0.02, 0.0001),
                  ("close", jaro.format("family", 0.88), 0.06, 0.004)),
        _compared("born", ("exact", "born_l = born_r", 0.95, 0.0001),
                  ("close", "levenshtein(born_l, born_r) <= 1 OR (substr(born_l, 1, 4) = substr(born_r, 1, 4)"
                   " AND substr(born_l, 6, 2) = substr(born_r, 9, 2) AND substr(born_l, 9, 2) = substr(born_r, 6, 2))",
                   0.03, 0.002)),
        _compared("sex", ("exact", "sex_l = sex_r", 0.99, 0.5)),
        _compared("phone", ("exact", "phone_l = phone_r", 0.6, 0.0002)),
        _compared("email", ("exact", "email_l = email_r", 0.9, 0.00001)),
        _compared("address", ("exact", "street_l = street_r AND postcode_l = postcode_r", 0.7, 0.0002),
                  ("postcode", "postcode_l = postcode_r", 0.05, 0.002), columns=("street", "postcode")),
        _compared("identifiers", ("common", "len(list_intersect(identifiers_l, identifiers_r)) > 0", 0.6, 0.000001),
                  null=False),
    ]  # fmt: skip


def _compared(
    name: str, *levels: tuple[str, str, float, float], columns: Sequence[str] = (), null: bool = True
) -> dict[str, Any]:
    """Return a comparison: levels with their conditions and the chances that they hold for one person and for two."""
    told: list[dict[str, Any]] = []
    if null:
        missing = " OR ".join(f"{column}_l IS NULL OR {column}_r IS NULL" for column in columns or (name,))
        told.append({"sql_condition": missing, "label_for_charts": "missing", "is_null_level": True})
    for label, condition, m, u in levels:
        told.append({"sql_condition": condition, "label_for_charts": label, "m_probability": m, "u_probability": u})
    m, u = 1 - sum(it[2] for it in levels), 1 - sum(it[3] for it in levels)
    told.append({"sql_condition": "ELSE", "label_for_charts": "other", "m_probability": m, "u_probability": u})
    return {"output_column_name": name, "comparison_levels": told}
