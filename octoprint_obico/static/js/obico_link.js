/* Linking without typing (obico_link.jinja2). It looks at what the page around it loads, and asks nothing by itself.
   All texts go in by Knockout's `text` binding, never as HTML. */
$(function () {
    "use strict";

    function ObicoLinkViewModel(parameters) {
        var self = this;
        self.page = parameters[0];

        self.state = ko.observable("");
        self.server = ko.observable("");
        self.reached = ko.observable(false);
        self.passcode = ko.observable("");
        self.passlink = ko.observable("");
        self.qr = ko.observable("");
        self.trouble = ko.observable("");
        self.secondsLeft = ko.observable(0);
        self.copied = ko.observable(false);
        self.busy = self.page.busy;

        self.offered = ko.pureComputed(function () { return self.page.loaded() && self.page.showForm(); });
        self.searching = ko.pureComputed(function () {
            return self.state() === "searching" || self.state() === "linking";
        });
        self.headline = ko.pureComputed(function () {
            if (self.state() === "linking") return gettext("Linking …");
            var text = self.reached() ? gettext("Waiting to be linked at %(server)s") : gettext("Looking for %(server)s");
            return _.sprintf(text, {server: self.server()});
        });
        self.left = ko.pureComputed(function () {
            var seconds = self.secondsLeft();
            if (!seconds) return "";
            return _.sprintf(gettext("for %(minutes)d more minutes"), {minutes: Math.ceil(seconds / 60)});
        });

        self.show = function (search) {
            search = search || {};
            self.state(search.state || "");
            self.server(search.server || "");
            self.reached(Boolean(search.reached));
            self.passcode(search.passcode || "");
            self.passlink(search.passlink || "");
            self.qr(search.qr || "");
            self.trouble(search.trouble || "");
            self.secondsLeft(search.seconds_left || 0);
        };
        self.start = function () {
            self.page.order("search", {server: self.page.server()});
        };
        self.keep = function () {
            self.page.order("keep_identity");
        };
        self.stop = function () {
            self.page.order("stop_search");
        };

        // The page looks again whenever the plugin says that something changed; between, only the minutes go by.
        var show = self.page.show;
        self.page.show = function (status) {
            show(status);
            if ("search" in status) self.show(status.search);
            self.copied(Boolean(status.copied));
            if (status.linked && status.said && status.said.ok) self.page.relinking(false);
        };
        setInterval(function () {
            if (self.secondsLeft() > 0) self.secondsLeft(Math.max(0, self.secondsLeft() - 15));
        }, 15000);
    }

    OCTOPRINT_VIEWMODELS.push({
        construct: ObicoLinkViewModel,
        name: "obicoLinkViewModel",
        dependencies: ["obicoViewModel"],
        elements: ["#obico_nearby", "#obico_wizard_nearby"]
    });
});
