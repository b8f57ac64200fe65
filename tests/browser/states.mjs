// What a service shows on a bad or a big day, against a made-up one: nothing there, nothing works, nobody answers.

import { fake } from "./fake.mjs";
import { DESKTOP, PHONE, VIEWS, accessible, expect, go, inWords, narrowEnough, shot, step, visit } from "./hands.mjs";

/** What a service shows on a bad day. */
export async function states() {
  const service = await fake({ campaigns: 23 });
  const knobs = service.state;
  await visit(service, {}, async page => {
    await step("every view is drawn in words, light, dark and narrow, and axe is content", async () => {
      const views = { ...VIEWS, campaign: "#/campaign/account-2/campaign-00002" };
      knobs.audit = [
        {
          at: Date.UTC(2026, 10, 22, 8),
          actor: "ann",
          role: "approver",
          action: "approve",
          subject: "0123",
          reason: "seen",
          outcome: "sent",
        },
      ];
      knobs.halts = [
        {
          scope: "account=account-1",
          level: "account",
          account_id: "account-1",
          campaign_id: null,
          since: Date.UTC(2026, 10, 22, 8),
          actor: "ann",
          reason: "wrong prices",
        },
      ];
      await page.locator("#line", { hasText: "Live" }).waitFor();
      service.tell("halt", { halts: knobs.halts });
      for (const [name, hash] of Object.entries(views)) {
        await go(page, hash);
        for (const [look, size, scheme] of [
          ["light", DESKTOP, "light"],
          ["dark", DESKTOP, "dark"],
          ["phone", PHONE, "light"],
        ]) {
          await page.setViewportSize(size);
          await page.emulateMedia({ colorScheme: scheme });
          // On a phone only these three are another document to a screen reader.
          if (look !== "phone" || ["portfolio", "proposals", "campaign"].includes(name))
            await accessible(page, `${name}, ${look}`);
          await narrowEnough(page, `${name}, ${look}`);
          await shot(page, `fake-${name}-${look}`);
        }
        await inWords(page, name);
      }
      await page.setViewportSize(DESKTOP);
      await page.emulateMedia({ colorScheme: "light" });
      knobs.halts = [];
      service.tell("halt", { halts: [] });
    });
    await step("a command is taken back: what that does is said first, and who holds what stands beside it", async () => {
      await go(page, "#/campaign/account-2/campaign-00002");
      await page.locator(".command summary").first().click();
      await page.getByRole("button", { name: "Take back" }).click();
      const dialog = page.locator("dialog");
      await dialog.getByText(/Bid goes from .* back to /).waitFor();
      await dialog.getByText("left alone for 24 hours").waitFor();
      await accessible(page, "undo dialog");
      await dialog.locator("#reason").fill("wrong season");
      await dialog.getByRole("button", { name: "Take back" }).click();
      await page.getByText("Undo: sent").waitFor();
      await page.getByText("is left as").first().waitFor();
    });
    await step("a table of factors by hour is taken back as a whole, and what that does is said hour by hour", async () => {
      await go(page, "#/campaign/account-2/campaign-00002");
      await page.locator(".command summary", { hasText: "Factors by hour" }).click();
      await page.locator(".command[open]", { hasText: "Factors by hour" }).getByRole("button", { name: "Take back" }).click();
      const dialog = page.locator("dialog");
      await dialog.getByText(/17–20.h.125.%.*Then: all hours 100.%/).waitFor();
      await shot(page, "fake-undo-table");
      await dialog.getByRole("button", { name: "Cancel" }).click();
    });
    await step("one factor alone is taken back, and its device is named all the way", async () => {
      await go(page, "#/campaign/account-2/campaign-00002");
      const name = /Factor of device mobile 100\.0.%.*108\.0.%/;
      await page.locator(".command summary", { hasText: name }).click();
      await page.locator(".command[open]", { hasText: name }).getByRole("button", { name: "Take back" }).click();
      const dialog = page.locator("dialog");
      await dialog.getByText(/The factor of device mobile goes from 108.% back to 100.%/).waitFor();
      await dialog.getByRole("button", { name: "Cancel" }).click();
    });
    await step("goals of accounts say how far, how likely, and what it takes; an account's filter keeps its own", async () => {
      await go(page, "#/");
      const goals = page.getByRole("region", { name: "Goals of accounts" });
      await goals.getByText("Sales in November").waitFor();
      await goals.getByText(/Chance 17 in 100: it will end near 702, four times in five within 655 – 749/).waitFor();
      await goals.getByText(/It takes 32 a day from now on \(now 24\); about 312.40.EUR a day/).waitFor();
      await goals.getByText("told from three closed days on").waitFor();
      await page.selectOption("#account", "account-1");
      await goals.waitFor({ state: "detached" });
      await page.selectOption("#account", "");
      await goals.waitFor();
    });
    await step("rules stand on the campaign's page, those that hold first, and are named where it says why", async () => {
      await go(page, "#/campaign/account-2/campaign-00002");
      const table = page.getByRole("region", { name: "Rules" });
      expect((await table.locator("tbody tr").count()) === 6, "a rule is missing");
      await table.locator("tbody tr").first().getByText("waits for its cool-down").waitFor();
      await table.getByText("last_7d.cpa > 25 && last_7d.conversions >= 10").waitFor();
      await page.locator(".aside").getByText("cut what is dear").waitFor();
      expect(!(await page.locator(".aside").innerText()).includes("a bad hour"), "a rule that does not hold is named as why");
    });
    await step("experiments say what is proven, how large it is, and when nothing may be concluded", async () => {
      await go(page, VIEWS.experiments);
      const cards = page.locator("article.card");
      expect((await cards.count()) === 6, "an experiment is missing");
      await cards.filter({ hasText: "bolder raises" }).getByText("\u201cbold\u201d is better").waitFor();
      await cards.filter({ hasText: "bolder raises" }).getByText(/\+6\.0.%.*\+27\.0.%/).waitFor();
      await cards.filter({ hasText: "next spring" }).getByText(/It begins on 1 Mar 2027/).waitFor();
      await cards.filter({ hasText: "No difference is proven yet, after 163 days" }).waitFor();
      await cards.filter({ hasText: "nothing may be concluded" }).waitFor();
      await cards.filter({ hasText: "tell no arm apart" }).waitFor();
      const young = cards.filter({ hasText: "barely begun" });
      await young.getByText("4 days of campaigns judged, and nothing compared yet").waitFor();
      await young.getByText("each day judged 1 day after it").waitFor();
      expect(!(await young.innerText()).includes("1.000"), "a doubt is told where nothing was compared");
    });
    await step("an alert says what Paceline does about it and what a person can do", async () => {
      await go(page, VIEWS.alerts);
      const row = page.getByRole("row").filter({ hasText: "Data gap" });
      await row.getByText("Increases held; dead: only emergencies.").waitFor();
      await row.getByText("Look at the feed, then at Paceline's lag.").waitFor();
    });
    await step("refused records are shown with their reasons and without people", async () => {
      await go(page, VIEWS.quality ?? "#/quality");
      await page.locator("summary", { hasText: "Show" }).first().click();
      await page.getByText('"user_key": "***"').waitFor();
    });
    await step("a name that looks like markup is shown as text", async () => {
      await go(page, "#/");
      await page.getByText("<img src=x onerror=").first().waitFor();
      expect((await page.locator("main img").count()) === 0, "markup of a name became an element");
    });
    await step("the keyboard is enough: search, sort, open, come back, cancel", async () => {
      await page.keyboard.press("/");
      expect((await page.evaluate(() => document.activeElement.id)) === "q", "/ does not lead to the search");
      await page.keyboard.type("video");
      await page.getByText("6 campaigns match").waitFor();
      await page.fill("#q", "");
      await page.getByText("23 campaigns", { exact: true }).waitFor();
      const spent = page.getByRole("button", { name: "Spent today" });
      await spent.focus();
      await page.keyboard.press("Enter");
      await page.locator("th[aria-sort=descending]", { hasText: "Spent today" }).waitFor();
      await page.locator("td a, th a").first().focus();
      await page.keyboard.press("Enter");
      await page
        .getByText("Why nothing is done now")
        .or(page.getByText("Nothing keeps Paceline"))
        .or(page.getByText("only observes"))
        .first()
        .waitFor();
      expect(
        (await page.evaluate(() => document.activeElement.tagName)) === "H1",
        "a new view does not take the focus to its heading",
      );
      await page.locator(".command > summary").first().focus();
      await page.keyboard.press("Enter");
      await page.locator(".command[open] .note-text").waitFor();
      expect(await page.evaluate(() => document.activeElement.tagName === "SUMMARY"), "opening a note loses the focus");
      await accessible(page, "an open note");
      await page.keyboard.press("Enter");
      await page.locator(".command .note-text").waitFor({ state: "detached" });
      await page.getByRole("button", { name: "Halt this campaign" }).focus();
      await page.keyboard.press("Enter");
      await page.getByRole("dialog").waitFor();
      await accessible(page, "dialog");
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
    });
    await step("a campaign is broken down by what is chosen, and the models stand side by side", async () => {
      await go(page, "#/campaign/account-2/campaign-00002");
      const values = page.getByRole("region", { name: "The campaign by device" });
      await values.getByRole("rowheader", { name: "mobile" }).waitFor();
      expect((await values.locator("meter").count()) === 4, "a value has no bar of its share");
      await values.getByText("n/a: no impressions").first().waitFor();
      await page.selectOption("#breakdown-dimension", "placement");
      await page.getByRole("region", { name: "The campaign by placement" }).getByText("all others").waitFor();
      const models = page.getByRole("region", { name: "Attribution models side by side" });
      expect((await models.locator("tbody tr").count()) === 5, "a model is missing");
      await models.getByText("n/a: no conversion credited").waitFor();
      await accessible(page, "a breakdown");
      await inWords(page, "a breakdown");
      await page.selectOption("#breakdown-dimension", "hour");
      const hours = page.getByRole("region", { name: "The campaign by hour" });
      await hours.getByRole("rowheader", { name: "08:00" }).waitFor();
      expect((await hours.locator("tbody tr").count()) === 14, "thirteen hours and their sum were to be seen");
      await inWords(page, "a breakdown by hour");
      await page.selectOption("#breakdown-dimension", "channel");
      await page.getByText("n/a: no events in these days").waitFor();
    });
    await step("a flight with a budget is drawn to its end, day by day, and one without is left out", async () => {
      await go(page, "#/campaign/account-2/campaign-00002");
      await page.getByRole("img", { name: /^Spend of the flight: .* GBP of .* GBP, which lasts until 2 Dec 2026/ }).waitFor();
      await page.getByText(/Days before 16 Nov are no longer kept here/).waitFor();
      await shot(page, "fake-flight", true);
      await go(page, "#/campaign/account-1/campaign-00001");
      await page.getByRole("heading", { name: "Commands, and why" }).waitFor();
      expect(!(await page.getByText("Through the flight").isVisible()), "a flight that has no end is drawn");
    });
    await step("several proposals are approved at once, with a reason", async () => {
      await go(page, "#/proposals");
      await page.getByRole("link", { name: "Spring display 1" }).waitFor();
      await page.getByRole("button", { name: "Choose all 2" }).click();
      await page.getByRole("button", { name: "Approve chosen" }).click();
      await page.getByRole("button", { name: "Approve 2" }).click();
      expect(await page.getByRole("dialog").isVisible(), "a decision without a reason was sent");
      await page.fill("#reason", "seen and fine");
      await page.keyboard.press("Enter");
      await page.getByText("Nothing waits for you.").waitFor();
    });
    await step("ten thousand campaigns stay a page at a time", async () => {
      knobs.campaigns = 10_000;
      await go(page, "#/?sort=spend&order=desc");
      await page.getByText("10,000 campaigns; 1 to 50 shown").waitFor();
      expect((await page.locator("tbody tr").count()) === 50, "more than a page is in the document");
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByText("51 to 100 shown").waitFor();
      knobs.campaigns = 23;
    });
    await step("an empty service says so, and no number is made up", async () => {
      knobs.campaigns = 0;
      for (const [hash, text] of [
        ["#/", "No campaign has been specified yet."],
        ["#/alerts", "No alert is open."],
        ["#/proposals", "Nothing waits for you."],
        ["#/experiments", "No experiment of an account that has campaigns stands in the policy."],
        ["#/quality", "No partition is read by this process yet."],
        ["#/halts", "Nothing is halted."],
      ]) {
        await go(page, hash);
        await page.getByText(text).waitFor();
        await inWords(page, `empty ${hash}`);
      }
      await accessible(page, "empty");
      knobs.campaigns = 23;
    });
  });
  await visit(service, { tolerate: /Failed to load resource/ }, async page => {
    await step("a failure is told, and mends without a new start", async () => {
      await go(page, "#/");
      await page.getByText("23 campaigns").waitFor();
      knobs.fail = 503;
      await page.goto(`${service.address}/#/alerts`);
      await page.getByText("This could not be read.").waitFor();
      await accessible(page, "failure");
      await shot(page, "fake-failure");
      knobs.fail = null;
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByText("2 open alerts").waitFor();
    });
    await step("a lost line is told, figures are called old, and it comes back", async () => {
      knobs.fail = 503;
      service.silence();
      await page.getByText("The line to the service is lost").waitFor();
      await accessible(page, "lost line");
      await shot(page, "fake-lost");
      knobs.fail = null;
      await page.getByText("The line to the service is lost").waitFor({ state: "detached" });
      await page.locator("#line", { hasText: "Live" }).waitFor();
    });
    await step("who may only look sees no button that changes anything", async () => {
      knobs.role = "viewer";
      await page.goto(`${service.address}/#/proposals`);
      await page.reload();
      await page.getByText("read-only").waitFor();
      expect(
        (await page.getByRole("button", { name: /Approve|Reject|Halt/ }).count()) === 0,
        "a viewer is offered a change",
      );
      knobs.role = "admin";
    });
    await step("a token is asked for, and a wrong one is refused in words", async () => {
      knobs.token = "right";
      await page.reload();
      for (const [token, then] of [
        ["wrong", "The token was not accepted"],
        ["right", "Changes that Paceline would make"],
      ]) {
        await page.fill("#token", token);
        await accessible(page, "sign-in");
        await page.getByRole("button", { name: "Enter" }).click();
        await page.getByText(then).first().waitFor();
      }
    });
  });
  await service.stop();
}
