"""The list of attacks, 1 to 121: each has tests that can fail, or a reason why it cannot happen."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = "tests/attack"
HOSTILE = "src/fenglin/testing/conformance/hostile.py"
KEPT = "src/fenglin/testing/conformance/files.py"
OIDC = "tests/unit/oidc/test_issuer.py"
NONE = "not applicable: "

# Number → tests, as FILE::NAME; a bare file name lies in this folder.
AS_THEY_ARE = (
    f"{HOSTILE}::test_arguments_and_variables_arrive_as_they_are",
    f"{HOSTILE}::test_scripts_arrive_as_they_are",
    f"{HOSTILE}::test_a_job_may_have_any_name",
    "test_injection.py::test_a_text_comes_back_as_it_went",
)
ALONE = (f"{HOSTILE}::test_variables_reach_the_task_alone",)
ROLES = ("test_reach.py::test_every_role",)
OUTSIDERS = ("test_reach.py::test_every_route_without_a_good_token",)
NOT_CALLED = ("test_outbound.py::test_no_address_in_a_job_is_called",)
NOT_UNPACKED = ("test_files.py::test_nothing_unpacks_an_archive",)
PATHS = ("test_files.py::test_kept_files", "test_files.py::test_where_inputs_go")
FILES = ("test_parsers.py::test_files",)
BODIES = ("test_parsers.py::test_bodies",)
NO_CERTIFICATES = NONE + "sites prove themselves by tokens; no route takes a client's certificate"

ATTACKS = {
    1: OUTSIDERS,
    2: ("test_auth.py::test_an_empty_bearer",),
    3: ("test_auth.py::test_a_token_in_the_query", "test_auth.py::test_a_token_in_a_cookie"),
    4: OUTSIDERS,
    5: (
        "test_auth.py::test_a_revoked_token_loses_its_open_stream",
        "test_auth.py::test_a_revoked_token_is_refused_soon",
    ),
    6: (
        "test_objects.py::test_a_foreign_job",
        "test_auth.py::test_a_foreign_token_answers_as_a_missing_one",
    ),
    7: (*ROLES, "test_auth.py::test_nobody_makes_a_token_beyond_ones_own"),
    8: ROLES,
    9: (f"{OIDC}::test_a_token_without_a_signature",),
    10: (f"{OIDC}::test_the_public_key_is_no_secret",),
    11: (f"{OIDC}::test_claims_that_do_not_fit",),
    12: (f"{OIDC}::test_claims_that_do_not_fit",),
    13: (f"{OIDC}::test_a_key_id_is_a_name_only",),
    14: (f"{OIDC}::test_a_key_that_the_token_brings_is_not_used",),
    15: (f"{OIDC}::test_times_that_do_not_fit",),
    16: (
        f"{OIDC}::test_claims_that_do_not_fit",
        "tests/e2e/test_login.py::test_the_answer_to_another_login_is_refused",
    ),
    17: ("tests/e2e/test_login.py::test_a_person_logs_in_and_works",),
    18: ("test_auth.py::test_ten_thousand_bad_logins",),
    19: (
        "test_auth.py::test_nothing_tells_a_token_that_was_from_one_that_never_was",
        "tests/unit/engine/test_tokens.py::test_a_bad_token_costs_the_same_whatever_it_was",
    ),
    20: ("test_auth.py::test_no_default_credentials",),
    21: ("test_auth.py::test_an_open_hub_listens_on_this_machine_only",),
    22: (
        "test_auth.py::test_a_dump_of_the_database_holds_no_token",
        "test_auth.py::test_the_hub_never_answers_with_a_token",
    ),
    23: (
        "test_auth.py::test_a_session_after_a_reset",
        "test_auth.py::test_a_revoked_token_cannot_renew_itself",
    ),
    24: NO_CERTIFICATES,
    25: NO_CERTIFICATES,
    26: ("test_objects.py::test_a_foreign_job",),
    27: ("test_objects.py::test_a_foreign_id_in_a_body",),
    28: ("test_objects.py::test_a_batch_with_one_foreign_job_is_refused_whole",),
    29: ("test_objects.py::test_no_search_finds_it",),
    30: ("test_objects.py::test_no_search_finds_it",),
    31: ("test_objects.py::test_no_stream_of_changes_tells_of_it",),
    32: ("test_objects.py::test_a_foreign_job",),
    33: ("test_objects.py::test_the_bill_of_another",),
    34: ("test_objects.py::test_metrics_name_no_tenant",),
    35: ("test_objects.py::test_exports_of_all_tenants",),
    36: ("test_objects.py::test_variants_of_a_name_are_other_names",),
    37: ("test_objects.py::test_a_name_that_begins_like_anothers",),
    38: (*ROLES, "test_objects.py::test_the_command_line_opens_no_other_door"),
    39: ("test_objects.py::test_the_method_cannot_be_overridden",),
    40: ("test_objects.py::test_a_role_cannot_be_changed",),
    41: (
        "test_objects.py::test_fields_that_are_not_the_callers",
        "test_objects.py::test_fields_that_other_bodies_do_not_have",
    ),
    42: (
        "test_objects.py::test_the_same_key_twice",
        "tests/unit/api/test_reading.py::test_what_is_refused",
    ),
    43: ("test_objects.py::test_ids_are_never_given_twice",),
    **dict.fromkeys((44, 45, 46, 47, 48, 49, 50, 51), AS_THEY_ARE),
    52: (
        f"{HOSTILE}::test_what_no_system_can_run",
        "test_injection.py::test_names_that_print_nothing_or_too_much_are_refused",
    ),
    53: ALONE,
    54: ALONE,
    55: ALONE,
    56: (f"{HOSTILE}::test_bad_names_of_variables", *AS_THEY_ARE),
    57: AS_THEY_ARE,
    58: (f"{KEPT}::test_inputs_never_leave_the_folder", "test_files.py::test_where_inputs_go"),
    59: (
        f"{KEPT}::test_artifacts_are_never_links_out",
        "test_files.py::test_only_the_file_is_there",
    ),
    60: (*AS_THEY_ARE, "test_files.py::test_what_is_kept"),
    61: AS_THEY_ARE,
    62: AS_THEY_ARE,
    63: AS_THEY_ARE,
    64: (*AS_THEY_ARE, "test_injection.py::test_the_terminal_is_not_commanded"),
    65: (*AS_THEY_ARE, "test_injection.py::test_the_terminal_is_not_commanded"),
    66: (*AS_THEY_ARE, "test_injection.py::test_no_cell_of_an_export_is_a_formula"),
    67: (*AS_THEY_ARE, "test_injection.py::test_no_filter_is_sql"),
    68: (*AS_THEY_ARE, "test_injection.py::test_wildcards_are_characters"),
    69: (*AS_THEY_ARE, "test_injection.py::test_an_error_is_no_page"),
    70: (
        *AS_THEY_ARE,
        "test_injection.py::test_an_error_is_no_page",
        "test_injection.py::test_a_log_is_no_page",
    ),
    **dict.fromkeys((71, 72, 73, 74, 75), FILES),
    76: (*BODIES, "test_parsers.py::test_every_route_with_a_body"),
    77: (*FILES, *BODIES),
    78: (*FILES, *BODIES),
    79: BODIES,
    80: BODIES,
    81: (*FILES, *BODIES),
    82: ("test_parsers.py::test_what_is_too_much_is_refused_unread",),
    83: ("test_parsers.py::test_what_is_too_much_is_refused_unread",),
    84: ("test_parsers.py::test_an_endless_body_is_cut_off",),
    85: ("tests/unit/api/test_server.py::test_slow_headers_are_given_up",),
    86: ("test_parsers.py::test_what_is_too_much_is_refused_unread",),
    87: ("test_parsers.py::test_texts_made_for_slow_patterns",),
    88: (*BODIES, "test_parsers.py::test_every_route_with_a_body"),
    89: ("test_parsers.py::test_page_sizes",),
    90: (
        "test_parsers.py::test_many_open_streams",
        "tests/unit/api/test_server.py::test_connections_beyond_the_limit_are_told_to_come_back",
    ),
    91: ("test_parsers.py::test_jobs_that_wait_for_one_another",),
    92: ("test_parsers.py::test_a_deep_chain",),
    93: (*NOT_CALLED, f"{OIDC}::test_keys_elsewhere_are_not_fetched"),
    **dict.fromkeys((94, 95, 96, 97, 98), NOT_CALLED),
    99: (
        "test_outbound.py::test_a_witness_cannot_send_the_hub_elsewhere",
        f"{OIDC}::test_a_provider_that_misbehaves",
    ),
    100: (
        *NOT_CALLED,
        "test_outbound.py::test_no_header_is_called_either",
        "tests/unit/api/test_auth.py::test_a_rebound_name_is_refused",
    ),
    101: (*NOT_CALLED, f"{OIDC}::test_keys_elsewhere_are_not_fetched"),
    102: NOT_CALLED,
    103: (
        "test_outbound.py::test_a_witness_cannot_fill_the_memory",
        f"{OIDC}::test_a_provider_cannot_fill_the_memory",
        "tests/unit/drivers/test_slurm_rest.py::test_an_endless_answer_is_given_up",
        "tests/unit/drivers_kubernetes/test_api.py::test_an_answer_without_end_is_given_up",
        "tests/unit/drivers_ray/test_rest.py::test_an_endless_answer_is_given_up",
        "tests/unit/drivers_cloud/test_bodies.py::test_an_endless_answer_is_given_up",
        "tests/unit/drivers_cloud/test_credentials.py::test_an_endless_answer_about_credentials_is_given_up",
    ),
    104: ("test_outbound.py::test_a_witness_cannot_send_the_hub_elsewhere",),
    105: PATHS,
    106: PATHS,
    107: (*PATHS, "test_files.py::test_content_addresses_are_no_paths"),
    108: PATHS,
    109: NOT_UNPACKED,
    110: NOT_UNPACKED,
    111: (
        "test_files.py::test_kept_files",
        "tests/unit/api/test_streams.py::test_links_pipes_and_folders_are_not_served",
    ),
    112: NOT_UNPACKED,
    113: NOT_UNPACKED,
    114: (
        "test_files.py::test_an_address_is_what_it_holds",
        "tests/unit/api/test_streams.py::test_a_link_put_there_meanwhile_leads_nowhere",
        "tests/unit/api/test_streams.py::test_links_pipes_and_folders_are_not_served",
    ),
    115: ("test_files.py::test_only_the_file_is_there",),
    116: PATHS,
    117: (
        "test_secrets.py::test_a_canary_stays_where_it_was_put",
        "test_secrets.py::test_a_token_is_in_no_log_and_no_answer",
        "test_secrets.py::test_a_failure_inside_shows_a_number_only",
    ),
    118: (
        "test_secrets.py::test_no_caller_writes_a_line_into_the_log",
        "tests/unit/bootstrap/test_log.py::test_a_file_gets_one_line_of_json",
        "tests/unit/bootstrap/test_log.py::test_a_terminal_is_not_commanded",
    ),
    119: (
        "test_secrets.py::test_a_hidden_audit_record_is_missed",
        "tests/unit/storage/test_audit.py::test_each_change_behind_the_stores_back_is_found",
        "tests/unit/storage/test_audit.py::test_an_end_that_was_cut_off_is_found",
        "tests/unit/storage/test_audit.py::test_a_trail_that_was_written_anew_is_found",
    ),
    120: (
        "test_secrets.py::test_a_changed_wheel_is_not_installed",
        "tests/architecture/test_lock.py::test_every_entry_is_pinned_with_hashes",
    ),
    121: ("test_secrets.py::test_the_wheel_is_the_repository",),
}


def test_every_attack_is_in_the_table():
    assert sorted(ATTACKS) == list(range(1, 122))


@pytest.mark.parametrize("number", ATTACKS)
def test_what_the_table_names_is_there(number):
    """A test that is renamed or removed leaves its attack uncovered, and is missed here."""
    tests = ATTACKS[number]
    if isinstance(tests, str):
        assert tests.startswith(NONE)
        assert len(tests) > len(NONE) + 20
        return
    assert tests
    for test in tests:
        place, _, name = test.partition("::")
        path = ROOT / (place if "/" in place else f"{HERE}/{place}")
        assert re.search(rf"^ *def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE), test


def test_no_certificate_is_taken_yet():
    """Attacks 24 and 25 come with the first door that asks for one; then they get tests."""
    door = (ROOT / "src/fenglin/api/server.py").read_text(encoding="utf-8")

    assert "ssl" not in door
