/* How it stands with the server: for the settings page, the wizard and the navbar. All texts go in by Knockout's `text`
   binding, never as HTML. */
$(function () {
    "use strict";

    function ObicoViewModel(parameters) {
        var self = this;
        self.loginState = parameters[0];
        self.access = parameters[1];
        self.settings = parameters[2];

        self.own = ko.observable(null);
        self.loaded = ko.observable(false);
        self.problem = ko.observable("");
        self.linked = ko.observable(false);
        self.connected = ko.observable(false);
        self.needsPerson = ko.observable(false);
        self.since = ko.observable(null);
        self.reason = ko.observable("");
        self.printerName = ko.observable("");
        self.linkedServer = ko.observable("");
        self.queued = ko.observable(0);
        self.busy = ko.observable(false);
        self.working = ko.observable("");
        self.said = ko.observable("");
        self.saidOk = ko.observable(false);
        self.version = ko.observable("");
        self.cameras = ko.observableArray([]);
        self.primary = ko.observable("");
        self.server = ko.observable("");
        self.code = ko.observable("");
        self.relinking = ko.observable(false);
        self.findings = ko.observableArray([]);
        self.bundle = ko.observable(null);
        self.pause = ko.observable(null);
        self.showPause = function () {}; // obico_pause.js

        self.may = function (permission) {
            var known = self.access.permissions["PLUGIN_OBICO_" + permission];
            return Boolean(known) && self.loginState.loggedIn() && self.loginState.hasPermission(known);
        };
        self.mayLook = ko.pureComputed(function () { return self.may("VIEW"); });
        self.mayManage = ko.pureComputed(function () { return self.may("ADMIN"); });

        self.noCameras = ko.pureComputed(function () { return self.cameras().length === 0; });
        self.showForm = ko.pureComputed(function () { return !self.linked() || self.relinking(); });
        self.showButtons = ko.pureComputed(function () {
            return self.loaded() && self.linked() && !self.relinking();
        });
        self.showInNavbar = ko.pureComputed(function () {
            return self.loaded() && self.mayLook() && self.chosen("show_navbar");
        });
        self.dotClass = ko.pureComputed(function () {
            if (!self.linked()) return "";
            if (self.connected()) return "obico-good";
            return self.needsPerson() ? "obico-bad" : "obico-waiting";
        });
        self.headline = ko.pureComputed(function () {
            if (!self.linked()) return gettext("Not linked to a server yet");
            var name = self.printerName() ? " (" + self.printerName() + ")" : "";
            var text = self.connected() ? gettext("Connected to %(server)s") : gettext("Not connected to %(server)s");
            return _.sprintf(text, {server: self.linkedServer()}) + name;
        });
        self.sinceText = ko.pureComputed(function () {
            if (!self.linked() || !self.since()) return "";
            return _.sprintf(gettext("since %(time)s"), {time: new Date(self.since() * 1000).toLocaleString(self.locale())});
        });
        self.queuedText = ko.pureComputed(function () {
            if (!self.queued()) return "";
            return _.sprintf(gettext("%(count)d print event(s) wait to be told to the server."), {count: self.queued()});
        });
        self.workingText = ko.pureComputed(function () { return self.working() ? self.working() + " …" : ""; });
        self.saidClass = ko.pureComputed(function () { return self.saidOk() ? "alert-success" : "alert-error"; });

        self.locale = function () {
            // The browser knows the country too, and with it how times are written.
            var page = (typeof LOCALE === "string" ? LOCALE : "").replace("_", "-");
            return !page || _.startsWith(navigator.language, page) ? navigator.language : page;
        };
        /* A setting of ours that is on unless it was switched off. */
        self.chosen = function (key) {
            var own = self.own();
            return !own || !own[key] || own[key]() !== false;
        };
        self.mainLabel = function (camera) {
            return _.sprintf(gettext("%(name)s is the main camera"), {name: camera.name});
        };
        self.testLabel = function (camera) {
            return _.sprintf(gettext("Test %(name)s"), {name: camera.name});
        };

        self.show = function (status) {
            self.problem("");
            self.linked(status.linked);
            self.connected(status.connected);
            self.needsPerson(status.needs_person);
            self.since(status.since);
            self.reason(status.reason || "");
            self.printerName(status.printer_name || "");
            self.linkedServer(status.server);
            self.queued(status.queued_events);
            if (!self.pause() || !_.isEqual(self.pause(), status.pause)) self.pause(status.pause);
            if (status.cameras) self.showManaged(status);
            self.loaded(true);
        };
        self.showManaged = function (status) {
            // While the agent follows a setting that was changed, orders would be refused; that takes a moment only.
            self.busy(Boolean(status.busy || status.settling));
            self.working(status.busy || "");
            self.version(status.version);
            self.cameras(status.cameras);
            var primary = _.find(status.cameras, function (camera) { return camera.primary; });
            self.primary(primary ? primary.name : "");
            if (!self.server()) self.server(status.server);
            var doctor = status.doctor || {};
            self.findings(doctor.examined ? doctor.examined.findings : []);
            self.bundle(doctor.bundle || null);
            self.say(status.said ? status.said.text : "", Boolean(status.said && status.said.ok));
            if (self.saidOk() && self.code()) {
                self.code("");
                self.relinking(false);
            }
        };
        self.say = function (text, ok) {
            self.said(text);
            self.saidOk(Boolean(ok));
        };
        self.fail = function (xhr) {
            var answer = xhr && xhr.responseJSON;
            self.say((answer && answer.error) || gettext("OctoPrint did not answer; is it still running?"), false);
        };
        self.load = function () {
            if (!self.mayLook()) {
                self.problem(gettext("Your user of this OctoPrint may not see this."));
                return $.Deferred().reject().promise();
            }
            return OctoPrint.simpleApiGet("obico").done(self.show).fail(function (xhr) {
                var answer = xhr && xhr.responseJSON;
                self.problem((answer && answer.error) || gettext("Obico does not answer; see octoprint.log."));
            });
        };
        self.order = function (command, payload) {
            self.say("", false);
            return OctoPrint.simpleApiCommand("obico", command, payload || {}).done(self.show).fail(self.fail);
        };

        self.link = function () {
            var digits = self.code().replace(/[\s.\-]/g, "");
            if (!/^[0-9]{6}$/.test(digits)) {
                self.say(gettext("The code has six digits; the server's page shows it when you add a printer there."), false);
                return;
            }
            self.order("link", {server: self.server(), code: digits});
        };
        self.relink = function () {
            self.say("", false);
            self.server(self.linkedServer());
            self.relinking(true);
        };
        self.keepLink = function () {
            self.relinking(false);
        };
        self.unlink = function () {
            showConfirmationDialog({
                title: gettext("Unlink this printer?"),
                message: gettext("The server will no longer see this printer, and nobody can pause it from afar."),
                proceed: gettext("Unlink"),
                onproceed: function () { self.order("unlink"); }
            });
        };
        self.testCamera = function (camera) {
            self.order("test_camera", {name: camera.name});
        };
        self.changeTls = function (camera) {
            self.order("change_camera", {name: camera.name, verify_tls: camera.verify_tls});
        };
        self.makePrimary = function (camera) {
            self.order("change_camera", {name: camera.name, primary: true});
            return true;
        };
        self.examine = function () {
            self.order("doctor");
        };
        self.makeBundle = function () {
            self.order("support_bundle");
        };
        self.bundleLink = BASEURL + "api/plugin/obico?bundle";
        self.bundleText = ko.pureComputed(function () {
            return self.bundle() ? _.sprintf(gettext("Save the support bundle (%(kb)d kB)"), {kb: self.bundle().kb}) : "";
        });
        self.openSettings = function () {
            self.settings.show("settings_plugin_obico");
        };

        self.onAllBound = function () {
            // Bootstrap's tabs do not tell screen readers which one is open.
            var tabs = $("#obico_tabs a");
            var mark = function () {
                tabs.each(function () {
                    $(this).attr("aria-selected", String($(this).parent().hasClass("active")));
                });
            };
            tabs.on("shown", mark);
            mark();
        };
        self.onBeforeBinding = function () {
            var plugins = self.settings.settings && self.settings.settings.plugins;
            self.own((plugins && plugins.obico) || null);
        };
        self.onSettingsShown = function () {
            self.load();
        };
        self.onDataUpdaterPluginMessage = function (plugin) {
            if (plugin === "obico" && self.loaded()) self.load();
        };
        self.onDataUpdaterReconnect = function () {
            if (self.mayLook()) self.load();
        };
        self.onUserPermissionsChanged = self.onUserLoggedIn = function () {
            if (self.mayLook()) self.load();
        };
        self.onUserLoggedOut = function () {
            self.loaded(false);
            self.pause(null);
        };
    }

    OCTOPRINT_VIEWMODELS.push({
        construct: ObicoViewModel,
        name: "obicoViewModel",
        dependencies: ["loginStateViewModel", "accessViewModel", "settingsViewModel"],
        elements: [
            "#settings_plugin_obico_page", "#navbar_plugin_obico", "#wizard_plugin_obico_link",
            "#wizard_plugin_obico_cameras", "#wizard_plugin_obico_privacy"
        ]
    });
});
