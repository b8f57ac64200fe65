"""Each call is one that the vendor's own library would make, each row one that it would give. Needs requirements.txt."""
import json, os, subprocess, sys, tempfile, threading, unittest
from http.server import BaseHTTPRequestHandler, HTTPServer

from . import __main__ as program
from . import common, google_ads, linkedin_ads, meta
from .send import Sender

NOW = 1_795_313_107_293
GOOGLE = {"customer": "1234567890", "campaign": "111", "budget": "222", "bid_on": ["333", "334"]}
META = {"campaign": "120200000000001", "ad_sets": ["120200000000002"], "budget_on": "campaign"}
LINKEDIN = {"account": "500000001", "campaign": "600000001"}
IDS = {"account_id": "acme", "campaign_id": "spring"}


def command(kind, value=None, currency="EUR", **more):
    return {"command_id": "c1", "account_id": "acme", "campaign_id": "spring", "sequence": 7, "kind": kind, "state": "issued",
            "value_micros": value, "currency": currency, "expires_at": NOW + 1000, "dimension": None,
            "target": {"level": "campaign", "id": "spring"}} | more


class Google(unittest.TestCase):
    def test_each_call_is_a_mutate_request_whose_mask_names_fields_of_its_message(self):
        from google.ads.googleads.v26.services.types import ad_group_service, campaign_budget_service, campaign_service
        from google.protobuf import json_format
        types = {"campaigns": campaign_service.MutateCampaignsRequest, "adGroups": ad_group_service.MutateAdGroupsRequest,
                 "campaignBudgets": campaign_budget_service.MutateCampaignBudgetsRequest}
        asked = [(command("pause"), GOOGLE), (command("resume"), GOOGLE), (command("set_daily_budget", 12_345_678), GOOGLE),
                 (command("set_bid", 1_239_999), GOOGLE), (command("set_bid", 1_239_999), GOOGLE | {"bid_on": "max_clicks"})]
        values = []
        for one, ids in asked:
            for request in google_ads.requests(one, ids):
                resource = request.path.split("/")[-1].removesuffix(":mutate")
                message = types[resource].pb(types[resource]())
                json_format.ParseDict(request.body, message)  # refuses fields and words that the vendor does not have
                for operation in message.operations:
                    for path in operation.update_mask.paths:
                        found = operation.update
                        for part in path.split("."):
                            self.assertIn(part, found.DESCRIPTOR.fields_by_name, path)
                            found = getattr(found, part)
                        values.append(found)
        self.assertEqual(values, [3, 2, 12_340_000, 1_230_000, 1_230_000, 1_230_000])

    def test_a_row_of_the_vendor_s_type_is_a_snapshot_of_its_hour(self):
        from google.ads.googleads.v26.services.types.google_ads_service import GoogleAdsRow
        from google.protobuf import json_format
        row = {"customer": {"currencyCode": "EUR", "timeZone": "Europe/Berlin"}, "campaign": {"id": "111"},
               "segments": {"date": "2026-11-22", "hour": 9},
               "metrics": {"impressions": "1000", "clicks": "50", "costMicros": "12340000", "conversions": 2.5, "conversionsValue": 99.5}}
        message = GoogleAdsRow.pb(GoogleAdsRow())
        json_format.ParseDict(row, message)
        row = json_format.MessageToDict(message)
        report = google_ads.stats(row, IDS, NOW)
        self.assertEqual((report["window_start"], report["window_end"]), (1_795_334_400_000, 1_795_338_000_000))
        self.assertEqual([report[name] for name in common.SUMS], [1000, 50, 12_340_000, 2, 99_500_000])
        later = google_ads.stats(row, IDS, NOW + 1)
        self.assertEqual((report["report_id"], report["revision"] + 1), (later["report_id"], later["revision"]))

    def test_a_change_says_who_and_what(self):
        from google.ads.googleads.v26.services.types.google_ads_service import GoogleAdsRow
        from google.protobuf import json_format
        row = {"changeEvent": {"changeDateTime": "2026-11-22 10:00:00.000000", "clientType": "GOOGLE_ADS_WEB_CLIENT", "userEmail": "ann@example.com",
                               "campaign": "customers/1/campaigns/111", "newResource": {"adGroup": {"cpcBidMicros": "700000"}}}}
        json_format.ParseDict(row, GoogleAdsRow.pb(GoogleAdsRow()))
        report = google_ads.change(row, IDS, "Europe/Berlin", "bot@example.com")
        self.assertEqual((report["actor"], report["bid_micros"], report["reported_at"]), ("person", 700_000, 1_795_338_000_000))
        for kind in google_ads.BY_PLATFORM:
            json_format.ParseDict({"changeEvent": {"clientType": kind}}, GoogleAdsRow.pb(GoogleAdsRow()))


class Meta(unittest.TestCase):
    def test_fields_and_words_are_those_of_the_sdk(self):
        from facebook_business.adobjects.adset import AdSet
        from facebook_business.adobjects.campaign import Campaign
        seen = []
        for one in (command("pause"), command("resume"), command("set_daily_budget", 25_559_999), command("set_bid", 1_239_999)):
            for request in meta.requests(one, META):
                node = AdSet if request.path.endswith(META["ad_sets"][0]) else Campaign
                [(field, value)] = request.body.items()
                kind = node._field_types[field]
                self.assertTrue(isinstance(value, int) if "int" in kind or kind == "string" and field == "daily_budget" else value in vars(node.Status).values(), (field, kind))
                seen.append((field, value))
        self.assertEqual(seen, [("status", "PAUSED"), ("status", "ACTIVE"), ("daily_budget", 2555), ("bid_amount", 123)])
        self.assertEqual(meta.requests(command("set_bid", 57_900_000, "JPY"), META)[0].body, {"bid_amount": 57})

    def test_an_hour_of_insights_is_a_snapshot(self):
        from facebook_business.adobjects.adsinsights import AdsInsights
        self.assertIn(meta.STATS_QUERY["breakdowns"], vars(AdsInsights.Breakdowns).values())
        self.assertIn(meta.STATS_QUERY["action_report_time"], vars(AdsInsights.ActionReportTime).values())
        for field in meta.STATS_QUERY["fields"].split(","):
            self.assertIn(field, vars(AdsInsights.Field).values())
        row = {"campaign_id": META["campaign"], "date_start": "2026-11-22", "impressions": "900", "inline_link_clicks": "40", "spend": "12.34",
               "account_currency": "EUR", "hourly_stats_aggregated_by_advertiser_time_zone": "09:00:00 - 09:59:59",
               "actions": [{"action_type": "purchase", "value": "3"}, {"action_type": "like", "value": "9"}],
               "action_values": [{"action_type": "purchase", "value": "60.5"}]}
        report = meta.stats(row, IDS, "Europe/Berlin", {"purchase"}, NOW)
        self.assertEqual([report[name] for name in common.SUMS], [900, 40, 12_340_000, 3, 60_500_000])

    def test_activities_and_read_backs_say_who_and_what(self):
        row = {"event_type": "update_ad_set_bid_strategy", "event_time": "2026-11-22T09:00:00+0000", "actor_name": "Ann", "application_id": "5",
               "extra_data": json.dumps({"old_value": 100, "new_value": 150})}
        self.assertEqual(meta.change(row, IDS, "EUR", "9")["bid_micros"], 1_500_000)
        self.assertEqual(meta.change(row, IDS, "EUR", "5")["actor"], "paceline")
        back = meta.read_back({"status": "PAUSED", "learning_stage_info": {"status": "LEARNING"}}, IDS, NOW)
        self.assertEqual((back["status"], back["platform_state"]), ("paused", "learning"))


class LinkedIn(unittest.TestCase):
    def test_calls_are_the_library_s_partial_updates(self):
        from linkedin_api.clients.restli.utils import api as _  # noqa: F401, only that it is there
        from linkedin_api.common.constants import HEADERS, RESTLI_METHODS
        for one, change in [(command("pause"), {"status": "PAUSED"}), (command("set_bid", 1_239_999), {"unitCost": {"amount": "1.23", "currencyCode": "EUR"}}),
                            (command("set_daily_budget", 25_000_000), {"dailyBudget": {"amount": "25.00", "currencyCode": "EUR"}})]:
            [request] = linkedin_ads.requests(one, LINKEDIN)
            self.assertEqual(request.body, {"patch": {"$set": change}})
            self.assertEqual(request.headers[HEADERS.RESTLI_METHOD.value], RESTLI_METHODS.PARTIAL_UPDATE.value)

    def test_a_day_of_analytics_is_a_snapshot_and_a_campaign_read_back_a_report(self):
        row = {"dateRange": {"start": {"year": 2026, "month": 11, "day": 21}}, "impressions": 5, "clicks": 1, "costInLocalCurrency": "7.123456",
               "externalWebsiteConversions": 1, "conversionValueInLocalCurrency": "20"}
        report = linkedin_ads.stats(row, IDS, "EUR", NOW)
        self.assertEqual((report["window_end"] - report["window_start"], report["cost_micros"]), (24 * common.HOUR_MS, 7_123_456))
        campaign = {"status": "ACTIVE", "unitCost": {"amount": "1.5", "currencyCode": "EUR"}, "changeAuditStamps": {"lastModified": {"actor": "urn:li:person:x", "time": 5}}}
        back = linkedin_ads.read_back(campaign, IDS, "urn:li:person:x")
        self.assertEqual((back["actor"], back["bid_micros"], back["status"]), ("paceline", 1_500_000, "active"))


class Rules(unittest.TestCase):
    def test_no_value_is_rounded_up_or_sent_below_what_the_platform_takes(self):
        for platform, ids in ((google_ads, GOOGLE), (meta, META), (linkedin_ads, LINKEDIN)):
            with self.assertRaisesRegex(common.Refused, "below_unit"):
                platform.requests(command("set_bid", 9_999), ids)
            with self.assertRaisesRegex(common.Refused, "unknown_kind"):
                platform.requests(command("set_modifier_table"), ids)
        with self.assertRaisesRegex(common.Refused, "below_minimum"):
            linkedin_ads.requests(command("set_daily_budget", 9_990_000), LINKEDIN)

    def test_hours_of_a_clock_that_is_set_back_or_forward(self):
        self.assertEqual(common.local_hour("2026-10-25", 2, "Europe/Berlin"), (1_792_886_400_000, 1_792_893_600_000), "two hours")
        self.assertIsNone(common.local_hour("2026-03-29", 2, "Europe/Berlin"))
        start, end = common.local_hour("2026-10-25", 3, "Europe/Berlin")
        self.assertEqual((start, end - start), (1_792_893_600_000, common.HOUR_MS))

    def test_deltas_sum_to_the_last_snapshot_and_what_did_not_change_is_left_out(self):
        told = {}
        snapshot = lambda cost, at: common.stats_report("meta", IDS, (0, common.HOUR_MS), (1, 1, cost, 0, 0), "EUR", "click_time", at, 1)
        deltas = [delta for cost, at in ((5, 1), (5, 2), (9, 3), (7, 4)) for delta in common.as_deltas([snapshot(cost, at)], told)]
        self.assertEqual([delta["cost_micros"] for delta in deltas], [5, 4, -2])
        self.assertEqual(len({delta["report_id"] for delta in deltas}), 3)

    def test_reports_have_the_fields_of_the_schema(self):
        schemas = os.path.join(os.path.dirname(__file__), "../../../../schemas")
        def fields(name):
            with open(os.path.join(schemas, name)) as file:
                return [field["name"] for field in json.load(file)["fields"]]

        report = common.stats_report("meta", IDS, (0, 1), (0,) * 5, "EUR", "click_time", 1, 1)
        self.assertEqual(list(report), fields("stats_report.avsc"))
        state = common.state_report(IDS, 1, None)
        self.assertEqual([name for name in state if name != "type"], fields("state_report.avsc"))

    def test_a_limit_lets_so_many_through_and_says_how_long_to_wait(self):
        limit = common.Limit(2, 100)
        self.assertEqual([limit.wait("a", 0), limit.wait("a", 10), limit.wait("a", 20), limit.wait("b", 20), limit.wait("a", 101)], [0, 0, 80, 0, 0])


class Program(unittest.TestCase):
    MAP = {"campaigns": {"acme/spring": META}}

    def test_without_send_nothing_is_applied_and_no_answer_says_so(self):
        answer = program.decide(meta, self.MAP, command("pause"), None, NOW)
        self.assertEqual(answer["requests"][0]["body"], {"status": "PAUSED"})
        self.assertNotIn("result", answer, "the answer stays rejected with reason dry_run")
        self.assertEqual(program.decide(meta, self.MAP, command("pause", expires_at=NOW), None, NOW)["result"], "expired")
        self.assertEqual(program.decide(meta, {"campaigns": {}}, command("pause"), None, NOW), {"reason": "unknown_target"})

    def test_calls_go_out_as_they_were_shown_and_a_refusal_keeps_the_platform_s_words(self):
        got, answer_with = [], [200, 400]

        class Stand(BaseHTTPRequestHandler):
            def do_POST(self):
                got.append((self.path, self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"])).decode()))
                self.send_response(answer_with.pop(0))
                self.end_headers()
                self.wfile.write(b"budget too low")

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Stand)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ |= {"PLATFORM_TOKEN": "t", "PLATFORM_HOST": f"http://127.0.0.1:{server.server_port}"}
        send = Sender(meta)
        answer = program.decide(meta, self.MAP, command("set_bid", 2_000_000), send, NOW)
        self.assertEqual((answer["result"], answer["applied_at"]), ("applied", NOW))
        self.assertEqual(got, [(f"/{meta.VERSION}/{META['ad_sets'][0]}", "Bearer t", "bid_amount=200")])
        refused = program.decide(meta, self.MAP, command("set_daily_budget", 5_000_000), send, NOW)
        self.assertNotIn("result", refused)
        self.assertIn("400 budget too low", refused["reason"])
        server.shutdown()

    def test_a_fifth_change_of_a_budget_within_an_hour_waits(self):
        made, last = [], None
        for minute in range(5):
            last = program.decide(meta, self.MAP | {"campaigns": {"acme/spring": META | {"campaign": "77"}}}, command("set_daily_budget", 5_000_000), made.append, NOW + minute - 1000)
        self.assertEqual((len(made), last["result"], last["reason"]), (4, "deferred", "rate_limit"))
        self.assertEqual(last["retry_after"], NOW - 1000 + common.HOUR_MS)

    def test_the_command_line_reads_what_tap_prints(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "map.json")
            with open(file, "w") as out:
                json.dump(self.MAP, out)
            line = json.dumps({"partition": 0, "offset": 1, "value": command("pause", expires_at=2**52)})
            home = os.path.join(os.path.dirname(__file__), "..")
            run = subprocess.run([sys.executable, "-m", "platforms", "meta", "commands", "--map", file], input=line, text=True, capture_output=True, cwd=home)
            answer = json.loads(run.stdout)
            self.assertEqual((answer["result"], answer["reason"]), ("rejected", "dry_run"), run.stderr)
            broken = subprocess.run([sys.executable, "-m", "platforms", "meta", "commands", "--map", file], input="{", text=True, capture_output=True, cwd=home)
            self.assertNotEqual(broken.returncode, 0)


if __name__ == "__main__":
    unittest.main()
