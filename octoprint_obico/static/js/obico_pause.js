/* The notification of a pause that the server made by itself: why, with a picture, and what can be done. */
$(function () {
    "use strict";

    function ObicoPauseViewModel(parameters) {
        var self = this;
        self.obico = parameters[0];
        self.loginState = parameters[1];
        self.access = parameters[2];
        self.notice = null;
        self.shownId = null;

        self.pause = ko.pureComputed(function () { return self.obico.pause() || {}; });
        self.muted = ko.pureComputed(function () { return Boolean(self.pause().muted); });
        self.resuming = ko.pureComputed(function () { return Boolean(self.pause().resuming); });
        self.trouble = ko.pureComputed(function () { return self.pause().trouble || ""; });
        self.rule = ko.pureComputed(function () { return self.pause().text || ""; });
        self.page = ko.pureComputed(function () { return self.pause().page || null; });
        self.mayResume = ko.pureComputed(function () {
            return self.obico.may("CONTROL") && self.loginState.hasPermission(self.access.permissions.PRINT);
        });
        self.mayMute = ko.pureComputed(function () {
            return Boolean(self.pause().can_mute) && self.obico.may("CONTROL");
        });
        self.muteText = ko.pureComputed(function () {
            return self.muted() ? gettext("Alerts are off for this print") : gettext("No more alerts for this print");
        });
        self.picture = ko.pureComputed(function () {
            var pause = self.pause();
            var maySee = self.loginState.hasPermission(self.access.permissions.WEBCAM);
            return pause.picture && maySee ? PLUGIN_BASEURL + "obico/pause/" + pause.id + ".jpg" : null;
        });
        self.pictureText = gettext("What the camera saw");
        self.title = function () {
            return self.pause().by === "failure_detection"
                ? gettext("Paused by failure detection") : gettext("Paused by your Obico server");
        };
        self.sentence = ko.pureComputed(function () {
            var pause = self.pause();
            if (!pause.id) return "";
            var facts = {
                file: pause.filename || gettext("The print"),
                server: pause.server.replace(/^https?:\/\//, ""),
                time: new Date(pause.at * 1000).toLocaleTimeString(self.obico.locale(), {hour: "2-digit", minute: "2-digit"}),
                score: pause.score === null ? "" : pause.score.toLocaleString(self.obico.locale(), {
                    minimumFractionDigits: 2, maximumFractionDigits: 2
                })
            };
            if (pause.by !== "failure_detection") {
                return _.sprintf(gettext("%(file)s was paused by your Obico server (%(server)s) at %(time)s."), facts);
            }
            return _.sprintf(facts.score
                ? gettext("%(file)s was paused by failure detection on %(server)s at %(time)s, score %(score)s.")
                : gettext("%(file)s was paused by failure detection on %(server)s at %(time)s."), facts);
        });

        self.resume = function () {
            self.obico.order("resume");
        };
        self.mute = function () {
            self.obico.order("mute");
        };

        self.open = function () {
            self.close();
            if (!self.pause().id) return;
            self.shownId = self.pause().id;
            self.notice = new PNotify({
                title: self.title(),
                text: " ",
                type: "error",
                hide: false,
                title_escape: true,
                text_escape: true,
                width: "26em",
                buttons: {sticker: false, closer: true, closer_hover: false}
            });
            self.notice.elem.attr("role", "alert");
            ko.renderTemplate("obico_pause_template", self, {}, self.notice.text_container[0], "replaceChildren");
        };
        self.close = function () {
            if (self.notice) {
                ko.cleanNode(self.notice.text_container[0]);
                self.notice.remove();
            }
            self.notice = null;
        };

        self.obico.showPause = self.open;
        self.obico.pause.subscribe(function (pause) {
            if (!pause) {
                self.close();
            } else if (pause.id !== self.shownId && self.obico.chosen("pause_notification")) {
                self.open();
            }
        });
    }

    OCTOPRINT_VIEWMODELS.push({
        construct: ObicoPauseViewModel,
        name: "obicoPauseViewModel",
        dependencies: ["obicoViewModel", "loginStateViewModel", "accessViewModel"]
    });
});
